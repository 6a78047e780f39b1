"""From images to detections, with a detector of any form and runtime."""
from .spec import CONTRACTS, METADATA_KEY, Spec

__all__ = ['CONTRACTS', 'METADATA_KEY', 'Spec']
