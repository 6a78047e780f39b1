"""Datasets, transforms and collate functions."""
from . import shapes, transforms
from .collate import yolow_collate
from .lvis import YOLOv5LVISV1Dataset
from .mm_dataset import MultiModalDataset, MultiModalMixedDataset

__all__ = [
    'MultiModalDataset', 'MultiModalMixedDataset', 'YOLOv5LVISV1Dataset',
    'shapes', 'transforms', 'yolow_collate'
]
