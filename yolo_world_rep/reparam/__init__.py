"""From a text-conditioned checkpoint to a text-free one.

folding (pure math) <- state_dict (conversion) <- conversion_check <-
checkpoint (files).
"""
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .conversion import Conversion, convert_checkpoint
from .conversion_check import LayerCheck, check_conversion, require_exact
from .description import Description, description_of
from .layers import inspect_layout
from .meta import META_KEY
from .state_dict import reparameterize_state_dict

__all__ = [
    'META_KEY', 'Checkpoint', 'Conversion', 'Description', 'LayerCheck',
    'check_conversion', 'convert_checkpoint', 'description_of',
    'inspect_layout', 'load_checkpoint', 'reparameterize_state_dict',
    'require_exact', 'save_checkpoint'
]
