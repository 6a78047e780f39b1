"""Datasets, transforms and collate functions."""
from . import shapes, transforms
from .collate import yolow_collate
from .mm_dataset import MultiModalDataset, MultiModalMixedDataset

__all__ = [
    'MultiModalDataset', 'MultiModalMixedDataset', 'shapes', 'transforms',
    'yolow_collate'
]
