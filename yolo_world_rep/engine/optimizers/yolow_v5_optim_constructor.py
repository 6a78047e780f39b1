"""Parameter-wise options with YOLOv5's scaling of the weight decay."""
import copy
from typing import Optional

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmyolo.registry import OPTIM_WRAPPER_CONSTRUCTORS

from yolo_world_rep.registry import register


def scaled_weight_decay(weight_decay: float, batch_size_per_gpu: int,
                        world_size: int, base_total_batch_size: int) -> float:
    """Weight decay for the batch that one update really sees.

    A total batch below the base is taken as accumulated up to the multiple
    nearest to the base, so the value changes only by the rounding; a greater
    one scales linearly. This is mmyolo's rule.

    Args:
        weight_decay (float): Value at ``base_total_batch_size``.
        batch_size_per_gpu (int): Images a process sees in one step.
        world_size (int): Number of processes.
        base_total_batch_size (int): Images a step at which ``weight_decay``
            was chosen.

    Returns:
        float: The scaled weight decay.

    Raises:
        ValueError: If a batch size is not positive.
    """
    for name, value in (('batch_size_per_gpu', batch_size_per_gpu),
                        ('base_total_batch_size', base_total_batch_size)):
        if value <= 0:
            raise ValueError(f'{name}={value!r}: expected a positive number '
                             f'of images')
    total = batch_size_per_gpu * world_size
    accumulated = max(round(base_total_batch_size / total), 1)
    return weight_decay * total * accumulated / base_total_batch_size


@register(OPTIM_WRAPPER_CONSTRUCTORS)
class YOLOWv5OptimizerConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with the weight decay scaled by the batch.

    The parameter-wise options (``custom_keys``, ``norm_decay_mult``,
    ``bias_decay_mult``, ...) are those of mmengine; their multipliers apply
    to the scaled weight decay.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper. Its
            ``optimizer`` may hold ``batch_size_per_gpu``; without it
            nothing is scaled. The dict is not changed.
        paramwise_cfg (dict, optional): mmengine's options and
            ``base_total_batch_size``, in images, 64 by default.

    Raises:
        ValueError: If a batch size is not positive.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: Optional[dict] = None) -> None:
        optim_wrapper_cfg = copy.deepcopy(optim_wrapper_cfg)
        paramwise_cfg = copy.deepcopy(paramwise_cfg or {})
        base_total_batch_size = paramwise_cfg.pop('base_total_batch_size', 64)
        optimizer_cfg = optim_wrapper_cfg.get('optimizer', {})
        batch_size_per_gpu = optimizer_cfg.pop('batch_size_per_gpu', None)
        if batch_size_per_gpu is not None and 'weight_decay' in optimizer_cfg:
            optimizer_cfg['weight_decay'] = scaled_weight_decay(
                optimizer_cfg['weight_decay'], batch_size_per_gpu,
                get_world_size(), base_total_batch_size)
            print_log(
                f'weight_decay={optimizer_cfg["weight_decay"]:g}, scaled for '
                f'{batch_size_per_gpu} x {get_world_size()} images a step '
                f'against a base of {base_total_batch_size}', 'current')
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
