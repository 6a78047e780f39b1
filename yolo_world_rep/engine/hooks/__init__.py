"""Hooks that a config can name."""
from yolo_world_rep.moved import moved_names

from .checkpoint_guard_hook import CheckpointGuardHook
from .epoch_seed_hook import EpochSeedHook
from .safe_checkpoint_hook import SafeCheckpointHook, SaveError
from .sync_statistics_hook import SyncStatisticsHook

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'SafeCheckpointHook', 'SaveError',
    'SyncStatisticsHook'
]

__getattr__ = moved_names(
    __name__, {'TrainingReportHook': 'report.TrainingReportHook'})
