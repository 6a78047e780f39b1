"""An average of weights that leaves alone what does not change."""
import math

from mmdet.models.layers import ExpMomentumEMA
from mmyolo.registry import MODELS
from torch import Tensor

from ..registry import register


@register(MODELS)
class ExactExpMomentumEMA(ExpMomentumEMA):
    """mmdet's ExpMomentumEMA, exact if average and weight are equal.

    mmdet computes ``(1 - m) * average + m * weight``, which rounds: the
    average of a frozen weight drifts away from it, step by step. The same
    value as ``average + m * (weight - average)`` stays to the bit. The
    arguments are mmdet's.
    """

    def avg_func(self, averaged_param: Tensor, source_param: Tensor,
                 steps: int) -> None:
        """Move an average towards a weight, in place."""
        momentum = self.momentum + (1 - self.momentum) * math.exp(
            -(1 + steps) / self.gamma)
        averaged_param.lerp_(source_param, momentum)
