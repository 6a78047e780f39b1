"""The report on a training: curves, classes, mistakes, and what to run next.

``history`` (the log) and ``mistakes`` (detections before and after) ->
``figures`` -> ``page``.
"""
from .page import write_report
from .training_report_hook import TrainingReportHook

__all__ = ['TrainingReportHook', 'write_report']
