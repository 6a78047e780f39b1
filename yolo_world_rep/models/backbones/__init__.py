"""Backbones."""
from .language import HuggingCLIPLanguageBackbone, PseudoLanguageBackbone
from .multi_modal import MultiModalYOLOBackbone

__all__ = [
    'HuggingCLIPLanguageBackbone', 'MultiModalYOLOBackbone',
    'PseudoLanguageBackbone'
]
