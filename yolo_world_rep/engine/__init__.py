"""Training and testing: hooks, optimizer constructor, launching."""
from .hooks import CheckpointGuardHook, EpochSeedHook
from .optimizers import YOLOWv5OptimizerConstructor

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'YOLOWv5OptimizerConstructor'
]
