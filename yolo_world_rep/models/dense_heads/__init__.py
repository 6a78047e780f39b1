"""Heads."""
from .contrastive import (
                          BNContrastiveHead,
                          ContrastiveHead,
                          RepBNContrastiveHead,
                          RepContrastiveHead,
)
from .task_aligned_assigners import (
    SparseTaskAlignedAssigner,
    YOLOWorldSegAssigner,
)
from .yolo_world_head import (
                          RepYOLOWorldHead,
                          RepYOLOWorldHeadModule,
                          YOLOWorldHead,
                          YOLOWorldHeadModule,
)
from .yolo_world_seg_head import (
                          RepYOLOWorldSegHead,
                          RepYOLOWorldSegHeadModule,
                          YOLOWorldSegHead,
                          YOLOWorldSegHeadModule,
)

__all__ = [
    'BNContrastiveHead', 'ContrastiveHead', 'RepBNContrastiveHead',
    'RepContrastiveHead', 'RepYOLOWorldHead', 'RepYOLOWorldHeadModule',
    'RepYOLOWorldSegHead', 'RepYOLOWorldSegHeadModule',
    'SparseTaskAlignedAssigner', 'YOLOWorldHead', 'YOLOWorldHeadModule',
    'YOLOWorldSegAssigner', 'YOLOWorldSegHead', 'YOLOWorldSegHeadModule'
]
