"""From a text-conditioned checkpoint to a text-free one.

folding (pure math) <- state_dict (conversion) <- verification <- checkpoint
(files).
"""
from .checkpoint import (
                         META_KEY,
                         Checkpoint,
                         Conversion,
                         convert_checkpoint,
                         load_checkpoint,
                         save_checkpoint,
)
from .state_dict import inspect_layout, reparameterize_state_dict
from .verification import LayerCheck, check_conversion, require_exact

__all__ = [
    'META_KEY', 'Checkpoint', 'Conversion', 'LayerCheck', 'check_conversion',
    'convert_checkpoint', 'inspect_layout', 'load_checkpoint',
    'reparameterize_state_dict', 'require_exact', 'save_checkpoint'
]
