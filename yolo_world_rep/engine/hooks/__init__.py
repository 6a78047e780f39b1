"""Hooks that a config can name."""
from typing import Any

from yolo_world_rep.moved import moved_name

from .checkpoint_guard_hook import CheckpointGuardHook
from .epoch_seed_hook import EpochSeedHook
from .safe_checkpoint_hook import SafeCheckpointHook, SaveError
from .sync_statistics_hook import SyncStatisticsHook

__all__ = [
    'CheckpointGuardHook', 'EpochSeedHook', 'SafeCheckpointHook', 'SaveError',
    'SyncStatisticsHook'
]


def __getattr__(name: str) -> Any:
    """The report hook was here in version 0.1."""
    if name != 'TrainingReportHook':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return moved_name(__name__, name, 'yolo_world_rep.report')
