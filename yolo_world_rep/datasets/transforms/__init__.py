"""Transforms of images that carry texts."""
from .loading import LoadImageFromFile, UnreadableImageError
from .mix_texts import (
                        MultiModalMosaic,
                        MultiModalMosaic9,
                        YOLOv5MultiModalMixUp,
                        YOLOXMultiModalMixUp,
)
from .texts import LoadText, RandomLoadText

__all__ = [
    'LoadImageFromFile', 'LoadText', 'MultiModalMosaic', 'MultiModalMosaic9',
    'RandomLoadText', 'UnreadableImageError', 'YOLOXMultiModalMixUp',
    'YOLOv5MultiModalMixUp'
]
