"""Batch statistics that all processes share."""
from itertools import chain

import torch
from mmengine.dist import all_reduce_params, broadcast, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from ...registry import register


@register(HOOKS)
class SyncStatisticsHook(Hook):
    """Average the models' buffers over the processes after each epoch.

    Where batch norms are not synchronized (on CPUs they cannot be), each
    process has statistics of its own images. Every process would validate
    another model, and the checkpoint would hold that of the first.
    mmengine's SyncBuffersHook leaves out the moving average of EMAHook,
    which is what gets validated and saved.
    """

    # After EMAHook has taken its last step, before the checkpoint.
    priority = 'LOW'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average the floating-point buffers of the model and its EMA."""
        if get_world_size() == 1:
            return
        averaged = [hook.ema_model.module.buffers() for hook in runner.hooks
                    if isinstance(hook, EMAHook)]
        buffers = [buffer
                   for buffer in chain(runner.model.buffers(), *averaged)
                   if torch.is_floating_point(buffer)]
        # By differences to those of the first process: what is equal
        # everywhere, as frozen statistics are, keeps its last bit.
        firsts = [buffer.clone() for buffer in buffers]
        for first in firsts:
            broadcast(first)
        for buffer, first in zip(buffers, firsts):
            buffer.sub_(first)
        all_reduce_params(buffers, op='mean')
        for buffer, first in zip(buffers, firsts):
            buffer.add_(first)
