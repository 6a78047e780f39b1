"""Datasets, transforms and collate functions."""
from . import shapes, transforms
from .collate import yolow_collate
from .grounding import (
                        YOLOv5GeneralGroundingDataset,
                        YOLOv5MixedGroundingDataset,
)
from .lvis import YOLOv5LVISV1Dataset
from .mm_dataset import MultiModalDataset, MultiModalMixedDataset
from .objects365 import YOLOv5Objects365V1Dataset, YOLOv5Objects365V2Dataset
from .v3det import V3DetDataset, YOLOv5V3DetDataset

__all__ = [
    'MultiModalDataset', 'MultiModalMixedDataset', 'V3DetDataset',
    'YOLOv5GeneralGroundingDataset', 'YOLOv5LVISV1Dataset',
    'YOLOv5MixedGroundingDataset', 'YOLOv5Objects365V1Dataset',
    'YOLOv5Objects365V2Dataset', 'YOLOv5V3DetDataset', 'shapes',
    'transforms', 'yolow_collate'
]
