"""Transforms of images that carry texts."""
from .mix_texts import (
                        MultiModalMosaic,
                        MultiModalMosaic9,
                        YOLOv5MultiModalMixUp,
)
from .texts import LoadText, RandomLoadText

__all__ = [
    'LoadText', 'MultiModalMosaic', 'MultiModalMosaic9', 'RandomLoadText',
    'YOLOv5MultiModalMixUp'
]
