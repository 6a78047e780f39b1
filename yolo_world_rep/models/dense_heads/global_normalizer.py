"""Losses normalized over all processes."""
from typing import List

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

NORMALIZED = ('loss_cls', 'loss_bbox', 'loss_dfl')


class GlobalNormalizerMixin:
    r"""For a YOLOv8Head: one normalizer for the images of all processes.

    With :math:`l_r` the sum of the losses over the n images of process r
    and :math:`s_r` that of the scores assigned to their anchors, mmyolo
    steps along :math:`\sum_r n l_r / s_r`, where one process with all images
    would step along :math:`(\sum_r n) \sum_r l_r / \sum_r s_r`. With
    mmyolo, an image counts more in a process whose other images show little.
    Here the step is that of one process, for any number of them.

    Args:
        global_normalizer (bool): Whether losses are normalized over all
            processes. Defaults to False, as in mmyolo and published recipes.
    """

    def __init__(self, global_normalizer: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.global_normalizer = global_normalizer

    def loss_by_feat(self, *args, **kwargs) -> dict:
        world_size = get_world_size()
        if not self.global_normalizer or world_size == 1:
            return super().loss_by_feat(*args, **kwargs)
        sums: List[Tensor] = []
        handle = self.assigner.register_forward_hook(
            lambda module, inputs, assigned: sums.append(
                assigned['assigned_scores'].sum()))
        try:
            losses = super().loss_by_feat(*args, **kwargs)
        finally:
            handle.remove()
        total = sums[-1].detach().clone()
        all_reduce(total)
        # The head has divided by its own sum, and multiplied by world_size.
        factor = sums[-1].clamp(min=1) * world_size / total.clamp(min=1)
        return {name: loss * factor if name in NORMALIZED else loss
                for name, loss in losses.items()}
