"""Transforms of images that carry texts."""
from ...moved import moved_names
from .loading import LoadCheckedImageFromFile, UnreadableImageError
from .mix_texts import (
                        MultiModalMosaic,
                        MultiModalMosaic9,
                        YOLOv5MultiModalMixUp,
                        YOLOXMultiModalMixUp,
)
from .texts import LoadText, RandomLoadText

__all__ = [
    'LoadCheckedImageFromFile', 'LoadText', 'MultiModalMosaic',
    'MultiModalMosaic9', 'RandomLoadText', 'UnreadableImageError',
    'YOLOXMultiModalMixUp', 'YOLOv5MultiModalMixUp'
]

__getattr__ = moved_names(__name__, {
    'LoadImageFromFile': 'datasets.transforms.LoadCheckedImageFromFile'
})
