"""A training or a test, shown in a few lines."""
import os.path as osp
import re
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Dict, Optional, TextIO

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...reparam import description_of
from ...utils.cli import progress, say
from ...utils.wording import command
from .batch_pictures_hook import BatchPicturesHook
from .class_names_hook import data_sets, unwrapped


def scores(metrics: Optional[Dict[str, Any]]) -> Dict[str, str]:
    """The figures of an evaluation: ``coco/bbox_mAP_50`` is AP50.

    What could not be measured, which is -1, is left out.
    """
    return {re.sub(r'^.*/(bbox_)?(\w*?)m?AP_?(?=\d|$|_)', r'\2AP', key):
            f'{value:.4f}' for key, value in (metrics or {}).items()
            if isinstance(value, (int, float)) and value >= 0}


class TerminalHook(Hook):
    """Say what a run is, how it goes and what it leaves.

    The launcher adds it where the log goes to a file alone, see
    :func:`~yolo_world_rep.engine.terminal.quiet`. ``out`` is the terminal.
    """

    priority = 'LOWEST'  # after the hooks that write files

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._bar = ExitStack()
        self._line = ''

    def _say(self, name: str, text: Any) -> None:
        say(f'{name:10}{text}', self.out)
        self.out.flush()

    def before_test(self, runner: Runner) -> None:
        """The header."""
        model = unwrapped(runner.model)
        found = description_of(model.state_dict())
        self._say('model', f'size {found.size}, {found.kind}, from '
                  f'{runner._load_from}')
        for loop, data, names in data_sets(runner):
            file = getattr(getattr(data, 'dataset', data), 'ann_file', '')
            self._say(loop, f'{len(data)} images, {len(names or ())} classes, '
                      f'{file}')
        count = runner.world_size
        self._say('device', str(next(model.parameters()).device) +
                  (f', {count} processes' if count > 1 else ''))
        self._say('work dir', runner.work_dir)

    def before_train(self, runner: Runner) -> None:
        """The header."""
        self.before_test(runner)
        self._first, self._began = runner.iter, time.monotonic()
        loader, loop = runner.train_dataloader, runner.train_loop
        self._epochs = isinstance(
            loop, EpochBasedTrainLoop) and loop.max_epochs
        done = f', resumed after {runner.epoch}' if runner.epoch else ''
        size = f' of {loader.batch_size} images' if loader.batch_size else ''
        epochs = (f'{self._epochs} epochs of {len(loader)}' if self._epochs
                  else f'{loop.max_iters}')
        self._say('training', f'{epochs} steps{size}{done}')
        if not runner.iter and any(
                isinstance(hook, BatchPicturesHook) for hook in runner.hooks):
            self._say('pictures', 'of the first batches, in ' +
                      osp.join(runner.work_dir, 'batches'))

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._bar.close()
        if mode == 'train':
            self._end_line()  # of an epoch that was not evaluated
        count = len(getattr(runner, f'{mode}_dataloader'))
        self._advance = self._bar.enter_context(progress(
            count, f'epoch {runner.epoch + 1}' if mode == 'train' else mode))

    def _after_iter(self, runner: Runner, batch_idx: int,
                    data_batch: Any = None, outputs: Any = None,
                    mode: str = 'train') -> None:
        self._advance('' if mode != 'train' else 'loss {:.3f}'.format(
            runner.message_hub.get_scalar('train/loss').current()))

    def after_train_epoch(self, runner: Runner) -> None:
        """Begin the line of the epoch."""
        self._bar.close()
        self._begin_line(runner, len(runner.train_dataloader))

    def _begin_line(self, runner: Runner, steps: int) -> None:
        loss = runner.message_hub.get_scalar('train/loss').mean(steps)
        done, last = runner.iter, runner.max_iters
        taken = time.monotonic() - self._began
        left = taken * (last - done) / max(done - self._first, 1)
        self._times = '{}, {} left'.format(*(
            timedelta(seconds=round(each)) for each in (taken, left)))
        self._line = (f'{runner.epoch + 1}/{self._epochs}' if self._epochs
                      else f'step {done}/{last}') + f'  loss {loss:.4f}  '

    def _end_line(self, found: Dict[str, str] = {}) -> None:
        if self._line:
            shown = ''.join(f'{name} {value}  '
                            for name, value in list(found.items())[:2])
            self._say('epoch', self._line + shown + self._times)
        self._line = ''

    def after_val_epoch(self, runner: Runner,
                        metrics: Optional[Dict[str, Any]] = None) -> None:
        """End the line of the epoch with its scores."""
        self._bar.close()
        if not self._line:  # of a training that counts steps
            self._begin_line(runner, runner.val_interval)
        self._end_line(scores(metrics))

    def after_test_epoch(self, runner: Runner,
                         metrics: Optional[Dict[str, Any]] = None) -> None:
        """The scores."""
        self._bar.close()
        for name, value in scores(metrics).items():
            self._say(name, value)

    def after_run(self, runner: Runner) -> None:
        """Say where everything is."""
        self._end_line()
        if getattr(runner.train_loop, 'stop_training', False):
            self._say('stopped', 'early: the AP did not improve any more')
        info = runner.message_hub.runtime_info
        for name, path in (
                ('best', info.get('best_ckpt')),
                ('last', info.get('last_ckpt')),
                ('report', info.get('report')),
                ('log', runner.logger.log_file)):
            if path and osp.exists(path):
                self._say(name, path)
        best = info.get('best_ckpt') or info.get('last_ckpt')
        if best and description_of(unwrapped(runner.model).state_dict(
                )).folded:
            out = osp.join(runner.work_dir, 'export')
            self._say('export', command(
                'export', best, '--format', 'onnx', '--out', out))
