"""A training that learns nothing ends, or says so."""
import logging
import math
from typing import Any, NoReturn, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from ...config.schedule import RECIPE_LR
from ...registry import register
from ...utils.log import log

# Losses of the boxes; without any that was matched they are 0 to the bit.
OF_BOXES = ('loss_bbox', 'loss_dfl')
SMALL = ('too small for the strides of the model: raise the size of the '
         'images (img_scale), and see whether the annotations are in pixels')
NONE_LEFT = ('left out by the pipeline: of categories that class_names has '
             'not, crowds, smaller than its filters, or without a mask '
             '(use_mask2refine)')


class DivergedError(ValueError):
    """A training that diverged; ``lr`` is a learning rate to try."""
    lr = RECIPE_LR


def _diverged(runner: Runner, what: str, step: int) -> NoReturn:
    now = max(runner.optim_wrapper.get_lr()['lr'])
    amp = 'Amp' in type(runner.optim_wrapper).__name__
    good = runner.message_hub.get_info('last_ckpt')
    given = runner.cfg.optim_wrapper.optimizer.get('lr', now)
    lr = float(f'{min(given / 10, RECIPE_LR):.1g}')
    error = DivergedError(
        f'{what} (step {step}, epoch {runner.epoch + 1}, learning rate '
        f'{now:.2g}, {"with" if amp else "without"} `amp`): the training '
        f'diverged. The last good checkpoint is {good or "what it began with"}'
        f'. Train again with a lower learning rate, such as {lr:g}'
        f'{", or without `amp`" * amp}')
    error.lr = lr
    raise error


def _anywhere(flag: bool, runner: Runner) -> bool:
    """Whether something holds in any process."""
    found = torch.tensor(
        float(flag), device=next(runner.model.parameters()).device)
    all_reduce(found, 'max')
    return bool(found)


def require_finite(runner: Runner) -> None:
    """End a training, in all processes, whose weights are not finite."""
    models = [runner.model, *(hook.ema_model for hook in runner.hooks
                              if isinstance(hook, EMAHook))]
    bad = any(not tensor.isfinite().all() for model in models
              for tensor in model.state_dict().values())
    if _anywhere(bad, runner):
        _diverged(runner, 'The weights are not finite any more', runner.iter)


@register(HOOKS)
class TrainingWatchHook(Hook):
    """End a training that diverges; say so if it trains on background alone.

    The launcher adds this hook, and SafeCheckpointHook, which saves no weights
    that are not finite.

    Args:
        patience (int): Steps in a row with a loss that is not finite, after
            which the training ends. Defaults to 10.
    """

    def __init__(self, patience: int = 10) -> None:
        self.patience = patience
        self._bad, self._told = 0, False

    def before_train_epoch(self, runner: Runner) -> None:
        self._matched, self._boxes = False, 0

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[dict] = None) -> None:
        losses = outputs or {}
        bad = not math.isfinite(float(losses.get('loss', 0)))
        self._bad = self._bad + 1 if _anywhere(bad, runner) else 0
        if self._bad >= self.patience:
            _diverged(runner, f'The loss was not finite in {self._bad} steps '
                              f'in a row', runner.iter + 1)
        self._matched |= not set(OF_BOXES) <= losses.keys() or any(
            float(losses[name]) != 0 for name in OF_BOXES)
        samples = (data_batch or {}).get('data_samples')
        if isinstance(samples, dict):
            self._boxes += len(samples.get('bboxes_labels', ()))

    def after_train_epoch(self, runner: Runner) -> None:
        if not self._told and not _anywhere(self._matched, runner):
            self._told = True
            why = SMALL if self._boxes else NONE_LEFT
            log(f'No box was matched in epoch {runner.epoch + 1}: the model '
                f'learns from background alone. {self._boxes} boxes were in '
                f'its images; all are likely {why}.', logging.WARNING)
