"""Hooks that a config can name."""
from ...moved import moved_names
from .batch_pictures_hook import BatchPicturesHook
from .checkpoint_guard_hook import CheckpointGuardHook
from .class_names_hook import ClassNamesHook
from .epoch_seed_hook import EpochSeedHook
from .folded_meta_hook import FoldedMetaHook
from .safe_checkpoint_hook import SafeCheckpointHook, SaveError
from .sync_statistics_hook import SyncStatisticsHook
from .training_watch_hook import DivergedError, TrainingWatchHook

__all__ = [
    'BatchPicturesHook', 'CheckpointGuardHook', 'ClassNamesHook',
    'DivergedError', 'EpochSeedHook', 'FoldedMetaHook', 'SafeCheckpointHook',
    'SaveError', 'SyncStatisticsHook', 'TrainingWatchHook'
]

__getattr__ = moved_names(
    __name__, {'TrainingReportHook': 'report.TrainingReportHook'})
