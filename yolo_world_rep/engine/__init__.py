"""Training and testing: hooks, optimizer constructor, launching."""
from .ema import ExactExpMomentumEMA
from .hooks import CheckpointGuardHook, EpochSeedHook
from .optimizers import YOLOWv5OptimizerConstructor
from .runner import VariablesRunner
from .variables import check_config, resolve_variables

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'ExactExpMomentumEMA',
    'VariablesRunner', 'YOLOWv5OptimizerConstructor', 'check_config',
    'resolve_variables'
]
