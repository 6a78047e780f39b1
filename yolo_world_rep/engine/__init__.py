"""Training and testing: hooks, optimizer constructor, launching."""
from .ema import ExactExpMomentumEMA
from .hooks import CheckpointGuardHook, EpochSeedHook
from .optimizers import YOLOWv5OptimizerConstructor
from .variables import check_config, resolve_variables

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'ExactExpMomentumEMA',
    'YOLOWv5OptimizerConstructor', 'check_config', 'resolve_variables'
]
