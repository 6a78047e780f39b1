"""What a config can name under ``model``."""
from . import (
               backbones,
               data_preprocessors,
               dense_heads,
               detectors,
               layers,
               necks,
               refused,
)

__all__ = [
    'backbones', 'data_preprocessors', 'dense_heads', 'detectors', 'layers',
    'necks', 'refused'
]
