"""Trainings that end badly, each in a fork of this process.

Started by test_survival.py: python dying_trainings.py DATA OUT PORT. A fork of
a process that has imported everything and computed nothing is a new process
that need not import; it is as much one of its own to a signal or a limit.
"""
import json
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Dict

import torch._dynamo  # noqa: F401  the first optimizer would, in each
from mmengine.hooks import Hook
from mmyolo.registry import HOOKS
from tiny_training import CONFIG, options, read_config

from yolo_world_rep.engine import launch
from yolo_world_rep.utils import cli

EPOCHS = 2


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(Hook):
    """Ends the process with the third step, in the midst of an epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3:
            die()


class KilledWriting(Hook):
    """Ends it with half of the second epoch's checkpoint on the disk."""

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == EPOCHS:
            os.fsync = self.half

    @staticmethod
    def half(handle):
        os.ftruncate(handle, os.fstat(handle).st_size // 2)
        die()


class KilledNoting(Hook):
    """Ends it with the second checkpoint written and not yet noted."""

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == EPOCHS:
            self.replace, os.replace = os.replace, self.or_die

    def or_die(self, source, target):
        if Path(target).name == 'last_checkpoint':
            die()
        self.replace(source, target)


class DiskFull(Hook):
    """No file may grow as large as a checkpoint after the first epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch + 1 == EPOCHS:
            size = Path(runner.work_dir, 'epoch_1.pth').stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, ) * 2)


@HOOKS.register_module(force=True)
class KilledRank(Hook):
    """Ends the second of two processes before its second step."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1 and runner.rank == 1:
            die()


def train(root: Path, work_dir: Path, hook: Hook,
          launcher: str = 'none') -> None:
    """Train in this process, as tools/train.py would."""
    cfg = launch.config_for_training(
        read_config(),
        str(CONFIG),
        work_dir=str(work_dir),
        cfg_options=options(
            root,
            max_epochs=EPOCHS,
            train_batch_size_per_gpu=2 if launcher == 'none' else 1,
            **{
                'randomness.seed': 5,
                'default_hooks.checkpoint.max_keep_ckpts': 1
            }),
        launcher=launcher,
        cuda=False)
    if launcher != 'none':
        cfg.env_cfg.dist_cfg.timeout = 60
    runner = launch.build_runner(cfg)
    runner.register_hook(hook, priority='ABOVE_NORMAL')
    launch.train(runner)


def fork(out: Path, name: str, run: Callable[[], None]) -> int:
    """Run in a fork; what it writes goes to ``name.txt``. Its id."""
    child = os.fork()
    if child:
        return child
    try:
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            log = os.open(out / f'{name}.txt',
                          os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, number)
        cli.run(run)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def main(root: Path, out: Path) -> None:
    children: Dict[str, int] = {}
    for hook in (Killed(), KilledWriting(), KilledNoting(), DiskFull()):
        name = type(hook).__name__
        children[name] = fork(out, name,
                              partial(train, root, out / name, hook))
    os.environ.update(
        WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=sys.argv[3])
    for rank in range(2):
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        name = f'rank{rank}'
        children[name] = fork(
            out, name,
            partial(train, root, out / 'ranks', KilledRank(), 'pytorch'))
    ends = {
        name: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for name, child in children.items()
    }
    (out / 'ends.json').write_text(json.dumps(ends))


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
