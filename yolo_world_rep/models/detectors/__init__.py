"""Detectors."""
from .yolo_world import (
    SimpleYOLOWorldDetector,
    YOLOWorldDetector,
    YOLOWorldPromptDetector,
)

__all__ = [
    'SimpleYOLOWorldDetector', 'YOLOWorldDetector', 'YOLOWorldPromptDetector'
]
