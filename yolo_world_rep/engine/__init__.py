"""Training and testing: hooks, optimizer constructor, launching."""
from typing import Any

from yolo_world_rep.config.variables import check_config, resolve_variables
from yolo_world_rep.moved import moved_name

from .ema import ExactExpMomentumEMA
from .hooks import (
    CheckpointGuardHook,
    EpochSeedHook,
    SafeCheckpointHook,
    SyncStatisticsHook,
)
from .optimizers import CPUAmpOptimWrapper, YOLOWv5OptimizerConstructor
from .runner import VariablesRunner

__all__ = [
    'CPUAmpOptimWrapper', 'CheckpointGuardHook', 'EpochSeedHook',
    'ExactExpMomentumEMA', 'SafeCheckpointHook', 'SyncStatisticsHook',
    'VariablesRunner', 'YOLOWv5OptimizerConstructor',
    'check_config', 'resolve_variables'
]


def __getattr__(name: str) -> Any:
    """The report hook was here in version 0.1."""
    if name != 'TrainingReportHook':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return moved_name(__name__, name, 'yolo_world_rep.report')
