"""Heads."""
from .contrastive import (
                          BNContrastiveHead,
                          ContrastiveHead,
                          RepBNContrastiveHead,
                          RepContrastiveHead,
)
from .sparse_targets import SparseTaskAlignedAssigner
from .yolo_world_head import (
                          RepYOLOWorldHead,
                          RepYOLOWorldHeadModule,
                          YOLOWorldHead,
                          YOLOWorldHeadModule,
)

__all__ = [
    'BNContrastiveHead', 'ContrastiveHead', 'RepBNContrastiveHead',
    'RepContrastiveHead', 'RepYOLOWorldHead', 'RepYOLOWorldHeadModule',
    'SparseTaskAlignedAssigner', 'YOLOWorldHead', 'YOLOWorldHeadModule'
]
