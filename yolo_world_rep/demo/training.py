"""The trainer's command, run as a user would."""
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

from mmengine.config import Config

import yolo_world_rep

from ..utils.files import PathLike

TEXT_CONFIG = 'yolo_world_tiny_shapes.py'
FOLDED_CONFIG = 'yolo_world_tiny_rep_shapes_finetune.py'

def read_config(path: PathLike, data_root: PathLike) -> Config:
    """A config of the demo, for the data in a folder."""
    before = os.environ.get('SHAPES_ROOT')
    os.environ['SHAPES_ROOT'] = str(data_root)
    try:
        return Config.fromfile(path)
    finally:
        del os.environ['SHAPES_ROOT']
        if before is not None:
            os.environ['SHAPES_ROOT'] = before


def training_command(tools: PathLike, config: PathLike, work_dir: PathLike,
                     **options: object) -> List[str]:
    """The command line of a training by the ``train.py`` in ``tools``.

    Options are for ``--cfg-options``; ``__`` stands for a dot.
    """
    settings = [f'{name.replace("__", ".")}={value}'
                for name, value in options.items()]
    return [sys.executable, str(Path(tools) / 'train.py'), str(config),
            '--work-dir', str(work_dir), '--cfg-options', *settings]


def run_training(command: List[str], data_root: PathLike, log: PathLike,
                 threads: int = 1,
                 on_line: Callable[[str], None] = lambda _: None) -> None:
    """Run a training in a process of its own, whose output goes to ``log``.

    ``on_line`` is called with each line of it.
    """
    package = Path(yolo_world_rep.__file__).resolve().parents[1]
    paths = [str(package), os.environ.get('PYTHONPATH')]
    environment = dict(
        os.environ, SHAPES_ROOT=str(data_root), OMP_NUM_THREADS=str(threads),
        # The very package that runs now, installed or not.
        PYTHONPATH=os.pathsep.join(filter(None, paths)))
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    last = ''
    with open(log, 'w', encoding='utf-8') as file, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, text=True) as process:
        try:
            for line in process.stdout:
                file.write(line)
                last = line.strip() or last
                on_line(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise ChildProcessError(f'the training ended with status '
                                f'{process.returncode}: {last}; all that it '
                                f'said is in {log}')
