"""From a trained folded detector to a file for a runtime."""
from yolo_world_rep.detector.fusion import Decision, explain, fuse, plan_fusion

from .export import Exported, export_model
from .flops import count_flops

__all__ = ['Decision', 'Exported', 'count_flops', 'explain', 'export_model',
           'fuse', 'plan_fusion']
