"""From a trained folded detector to what a runtime should see."""
from .flops import count_flops
from .fusion import Decision, explain, fuse, plan_fusion

__all__ = ['Decision', 'count_flops', 'explain', 'fuse', 'plan_fusion']
