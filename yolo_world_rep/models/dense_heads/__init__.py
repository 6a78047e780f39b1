"""Heads."""
from .contrastive import (
                          BNContrastiveHead,
                          ContrastiveHead,
                          RepBNContrastiveHead,
                          RepContrastiveHead,
)
from .yolo_world_head import (
                          RepYOLOWorldHeadModule,
                          YOLOWorldHead,
                          YOLOWorldHeadModule,
)

__all__ = [
    'BNContrastiveHead', 'ContrastiveHead', 'RepBNContrastiveHead',
    'RepContrastiveHead', 'RepYOLOWorldHeadModule', 'YOLOWorldHead',
    'YOLOWorldHeadModule'
]
