"""The report on a training: curves, classes, mistakes, and what to run next.

``history`` (the log) and ``mistakes`` (detections before and after) ->
``figures`` -> ``page``.
"""
from typing import Any

from .training_report_hook import TrainingReportHook

__all__ = ['TrainingReportHook', 'write_report']


def __getattr__(name: str) -> Any:
    """``write_report`` when it is asked for: most trainings write none."""
    if name != 'write_report':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .page import write_report
    return write_report
