"""Necks."""
from .yolo_world_pafpn import (
                               RepYOLOWorldDualPAFPN,
                               YOLOWorldDualPAFPN,
                               YOLOWorldPAFPN,
)

__all__ = ['RepYOLOWorldDualPAFPN', 'YOLOWorldDualPAFPN', 'YOLOWorldPAFPN']
