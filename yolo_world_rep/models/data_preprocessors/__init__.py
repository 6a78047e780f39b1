"""What happens to a batch between the loader and the model."""
from .yolow_preprocessor import YOLOWDetDataPreprocessor

__all__ = ['YOLOWDetDataPreprocessor']
