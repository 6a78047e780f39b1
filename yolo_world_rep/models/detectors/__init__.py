"""Detectors."""
from .yolo_world import SimpleYOLOWorldDetector, YOLOWorldDetector

__all__ = ['SimpleYOLOWorldDetector', 'YOLOWorldDetector']
