"""Necks."""
from .yolo_world_pafpn import YOLOWorldDualPAFPN, YOLOWorldPAFPN

__all__ = ['YOLOWorldDualPAFPN', 'YOLOWorldPAFPN']
