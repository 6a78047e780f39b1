"""Hooks that a config can name."""
from .checkpoint_guard_hook import CheckpointGuardHook
from .epoch_seed_hook import EpochSeedHook
from .safe_checkpoint_hook import SafeCheckpointHook, SaveError
from .sync_statistics_hook import SyncStatisticsHook
from .training_report_hook import TrainingReportHook

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'SafeCheckpointHook', 'SaveError',
    'SyncStatisticsHook', 'TrainingReportHook'
]
