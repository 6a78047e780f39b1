"""From images to detections, with a detector of any form and runtime."""
from .backends import Backend, open_backend
from .spec import CONTRACTS, METADATA_KEY, Spec

__all__ = ['CONTRACTS', 'METADATA_KEY', 'Backend', 'Spec', 'open_backend']
