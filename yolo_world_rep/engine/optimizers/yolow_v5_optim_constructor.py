"""Parameter-wise options with YOLOv5's scaling of the weight decay."""
import copy
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Mapping, Optional

from mmengine.dist import get_world_size
from mmengine.optim import DefaultOptimWrapperConstructor
from mmyolo.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ...registry import register
from ...utils.log import log


def scaled_weight_decay(weight_decay: float, batch_size_per_gpu: int,
                        world_size: int, base_total_batch_size: int) -> float:
    """Weight decay for the batch that one update really sees.

    ``weight_decay`` is that at a total batch of ``base_total_batch_size``
    images. A total batch below the base is taken as accumulated up to the
    multiple nearest to the base, so the value changes only by the rounding; a
    greater one scales linearly. This is mmyolo's rule. ``world_size`` is
    multiplied by the batches of an update where gradients are accumulated.
    """
    for name, value in (('batch_size_per_gpu', batch_size_per_gpu),
                        ('base_total_batch_size', base_total_batch_size)):
        if value <= 0:
            raise ValueError(f'{name}={value!r}: expected a positive number '
                             f'of images')
    total = batch_size_per_gpu * world_size
    accumulated = max(round(base_total_batch_size / total), 1)
    return weight_decay * total * accumulated / base_total_batch_size


def multiplier_of(name: str, multipliers: Mapping[str, float]) -> float:
    """The learning-rate multiplier of a parameter, 1 by default.

    ``multipliers`` are by names of modules or parameters, with ``*`` for
    anything. Of several that apply, the longest does.
    """
    fitting = [
        pattern for pattern in multipliers
        if fnmatchcase(name, pattern) or fnmatchcase(name, f'{pattern}.*')]
    return multipliers[max(fitting, key=len)] if fitting else 1.0


@register(OPTIM_WRAPPER_CONSTRUCTORS)
class YOLOWv5OptimizerConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with the weight decay scaled by the batch.

    The batch is that of an update, ``accumulative_counts`` included, which
    mmyolo's constructor does not look at. Neither scales the learning rate.
    The parameter-wise options (``custom_keys``, ``norm_decay_mult``,
    ``bias_decay_mult``, ...) are those of mmengine; their multipliers apply
    to the scaled weight decay.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper. Its
            ``optimizer`` may hold ``batch_size_per_gpu``; without it nothing
            is scaled. The dict stays unchanged.
        paramwise_cfg (dict, optional): mmengine's options,
            ``base_total_batch_size``, in images, 64 by default, and
            ``lr_mults``, see :func:`multiplier_of`. Unlike ``custom_keys``
            these leave the rules of the weight decay alone.

    Raises:
        ValueError: If a batch size or a multiplier is not positive, or a
            name of ``lr_mults`` is of nothing in the model.
    """

    def __init__(self, optim_wrapper_cfg: dict,
                 paramwise_cfg: Optional[dict] = None) -> None:
        optim_wrapper_cfg = copy.deepcopy(optim_wrapper_cfg)
        paramwise_cfg = copy.deepcopy(paramwise_cfg or {})
        base_total_batch_size = paramwise_cfg.pop('base_total_batch_size', 64)
        self.lr_mults: Dict[str, float] = paramwise_cfg.pop('lr_mults', {})
        for pattern, factor in self.lr_mults.items():
            if not factor > 0:
                raise ValueError(
                    f'lr_mults: {pattern!r}: {factor!r}; expected a positive '
                    f'number. To keep a part as it is, freeze it: its '
                    f'statistics would change all the same.')
        optimizer_cfg = optim_wrapper_cfg.get('optimizer', {})
        batch_size_per_gpu = optimizer_cfg.pop('batch_size_per_gpu', None)
        if batch_size_per_gpu is not None and 'weight_decay' in optimizer_cfg:
            batches = optim_wrapper_cfg.get('accumulative_counts', 1)
            optimizer_cfg['weight_decay'] = scaled_weight_decay(
                optimizer_cfg['weight_decay'], batch_size_per_gpu,
                get_world_size() * batches, base_total_batch_size)
            images = f'{batch_size_per_gpu} x {get_world_size()}'
            images += f' x {batches} accumulated' if batches > 1 else ''
            log(f'weight_decay={optimizer_cfg["weight_decay"]:g}, scaled for '
                f'{images} images an update against a base of '
                f'{base_total_batch_size}')
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def add_params(self, params: List[Dict[str, Any]], module: nn.Module,
                   prefix: str = '', **kwargs: Any) -> None:
        """As mmengine's; at the root the multipliers come on top."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix or not self.lr_mults:
            return
        names = {id(each): name for name, each in module.named_parameters()}
        idle = [pattern for pattern in self.lr_mults
                if not any(multiplier_of(name, {pattern: 0}) == 0
                           for name in names.values())]
        if idle:
            raise ValueError(
                f'lr_mults: {idle} are names of nothing in the model; '
                f'expected names of modules or parameters, such as '
                f'{next(iter(names.values()))!r}, * standing for anything.')
        for group in params:
            factor = multiplier_of(names[id(group['params'][0])],
                                   self.lr_mults)
            group['lr'] = group.get('lr', self.base_lr) * factor
