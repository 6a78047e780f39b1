"""Checkpoints that a crash or a full disk cannot cost."""
import logging
import os.path as osp
from contextlib import contextmanager
from typing import Any, Iterator, List

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from ...registry import register
from ...utils.files import atomic_path
from ...utils.log import log
from ..checkpoints import ATOMIC, LAST, NEWEST, remove_leftovers
from .training_watch_hook import require_finite


class SaveError(OSError):
    """A checkpoint could not be written."""


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Name the checkpoint in the error when it cannot be written."""
    try:
        yield
    except SaveError:
        raise
    except OSError as error:
        reason = str(error.strerror or error).rstrip('.')
        raise SaveError(
            f'Could not save {what}: {reason}. The '
            f'checkpoints before it are whole; make room, then go on with '
            f'`resume`.') from error


class _RemoveLater:
    """A file backend whose removals wait until :meth:`flush`."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._paths: List[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._paths.append(path)

    rmtree = remove

    def keep(self, path: str) -> None:
        """A new file has taken this name."""
        self._paths = [p for p in self._paths if p != path]

    def flush(self) -> None:
        """Remove what was asked for meanwhile."""
        paths, self._paths = self._paths, []
        for path in paths:
            if self._backend.isdir(path):
                self._backend.rmtree(path)
            elif self._backend.isfile(path):
                self._backend.remove(path)


@register(HOOKS)
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, for trainings that may end at any time.

    A file gets its name when it is complete on the disk; outdated files go
    when the new one and the note of the last one are there, not before, so
    there is room needed for one checkpoint more than are kept. Epochs between
    those that ``interval`` saves are saved as ``last.pth``. A write that fails
    ends the training with the path and the reason; weights that are not finite
    end it too, and are not written. The arguments are CheckpointHook's; the
    launcher puts this hook in its place.
    """

    def before_train(self, runner: Runner) -> None:
        """Prepare as mmengine does, and clear up after a crash."""
        local = '://' not in str(self.out_dir or runner.work_dir)
        if local and self.file_client_args is None and (
                not self.backend_args
                or self.backend_args == dict(backend='local')):
            self.backend_args = dict(backend=ATOMIC)
        super().before_train(runner)
        self.file_backend = _RemoveLater(self.file_backend)
        if is_main_process():
            for folder in {runner.work_dir, self.out_dir}:
                if not osp.isdir(folder):
                    continue
                names = remove_leftovers(folder)
                if names:
                    log(f'Removed from {folder}, begun and not finished by a '
                        f'run before: {", ".join(names)}', logging.WARNING)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save each epoch, as ``last.pth`` where no other file is due."""
        if self.by_epoch:
            self._numbered = self.every_n_epochs(
                runner, self.interval, self.save_begin) or (
                    self.save_last and self.is_last_train_epoch(runner))
            self._save_checkpoint(runner)

    def _save_checkpoint(self, runner: Runner) -> None:
        """Save what is finite."""
        require_finite(runner)
        super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int,
                                   meta: dict) -> None:
        """Save, note it as the last one, then drop the outdated."""
        numbered = not self.by_epoch or self._numbered
        path, newest = (
            self.file_backend.join_path(self.out_dir, name)
            for name in (self.filename_tmpl.format(step), NEWEST))
        if not numbered:
            path = newest
        elif is_main_process():
            self.file_backend.remove(newest)
        if numbered and self.max_keep_ckpts > 0 and (
                step not in self.keep_ckpt_ids):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.filename_tmpl.format(
                    self.keep_ckpt_ids.popleft())
                if is_main_process():
                    self.file_backend.remove(
                        self.file_backend.join_path(self.out_dir, outdated))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids',
                                           list(self.keep_ckpt_ids))
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        with _naming(path):
            runner.save_checkpoint(
                self.out_dir, osp.basename(path), self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler, meta=meta,
                by_epoch=self.by_epoch, backend_args=self.backend_args,
                **self.args)
            if is_main_process():
                with atomic_path(osp.join(runner.work_dir, LAST)) as note:
                    note.write_text(path, encoding='utf-8')
        self.file_backend.keep(path)
        self.file_backend.flush()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best one, then remove the previous best one."""
        require_finite(runner)
        with _naming(f'the best checkpoint in {self.out_dir}'):
            super()._save_best_checkpoint(runner, metrics)
        best = [getattr(self, 'best_ckpt_path', None)]
        best += getattr(self, 'best_ckpt_path_dict', {}).values()
        for path in filter(None, best):
            self.file_backend.keep(path)
        self.file_backend.flush()
