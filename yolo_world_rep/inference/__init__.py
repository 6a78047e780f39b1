"""From images to detections, with a detector of any form and runtime."""
from .backends import Backend, open_backend
from .predictor import Predictor
from .results import Result
from .spec import CONTRACTS, METADATA_KEY, Spec

__all__ = ['CONTRACTS', 'METADATA_KEY', 'Backend', 'Predictor', 'Result',
           'Spec', 'open_backend']
