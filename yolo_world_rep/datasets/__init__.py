"""Datasets, transforms and collate functions."""
from . import transforms
from .collate import yolow_collate
from .mm_dataset import MultiModalDataset, MultiModalMixedDataset

__all__ = [
    'MultiModalDataset', 'MultiModalMixedDataset', 'transforms',
    'yolow_collate'
]
