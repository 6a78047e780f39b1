"""Training and testing: hooks, optimizer constructor, launching."""
from ..config.variables import check_config, resolve_variables
from ..moved import moved_names
from .coco_metric import ExactCocoMetric
from .ema import ExactExpMomentumEMA
from .hooks import (
    CheckpointGuardHook,
    ClassNamesHook,
    EpochSeedHook,
    FoldedMetaHook,
    SafeCheckpointHook,
    SyncStatisticsHook,
    TrainingWatchHook,
)
from .optimizers import CPUAmpOptimWrapper, YOLOWv5OptimizerConstructor
from .runner import VariablesRunner

__all__ = [
    'CPUAmpOptimWrapper', 'CheckpointGuardHook', 'ClassNamesHook',
    'EpochSeedHook', 'ExactCocoMetric', 'ExactExpMomentumEMA',
    'FoldedMetaHook', 'SafeCheckpointHook', 'SyncStatisticsHook',
    'TrainingWatchHook', 'VariablesRunner',
    'YOLOWv5OptimizerConstructor',
    'check_config', 'resolve_variables'
]

__getattr__ = moved_names(
    __name__, {'TrainingReportHook': 'report.TrainingReportHook'})
