"""Training and testing: hooks, optimizer constructor, launching."""
from .ema import ExactExpMomentumEMA
from .hooks import (
    CheckpointGuardHook,
    EpochSeedHook,
    SafeCheckpointHook,
    SyncStatisticsHook,
    TrainingReportHook,
)
from .optimizers import CPUAmpOptimWrapper, YOLOWv5OptimizerConstructor
from .runner import VariablesRunner
from .variables import check_config, resolve_variables

__all__ = [
    'CPUAmpOptimWrapper', 'CheckpointGuardHook', 'EpochSeedHook',
    'ExactExpMomentumEMA', 'SafeCheckpointHook', 'SyncStatisticsHook',
    'TrainingReportHook', 'VariablesRunner', 'YOLOWv5OptimizerConstructor',
    'check_config', 'resolve_variables'
]
