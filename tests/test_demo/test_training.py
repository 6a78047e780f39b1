import subprocess
import sys

import pytest

from yolo_world_rep.demo.training import run_training, training_command

LINE = 'epoch     2/8  loss 65.9478  0:01:10, 0:03:30 left'


def test_command_is_what_a_user_would_type(tmp_path):
    command = training_command(
        'tools', 'a.py', tmp_path, max_epochs=2, randomness__seed=1)
    assert command == [
        sys.executable, 'tools/train.py', 'a.py', '--work-dir',
        str(tmp_path), '--cfg-options', 'max_epochs=2', 'randomness.seed=1'
    ]


def test_output_goes_to_the_log_and_the_caller(tmp_path):
    lines = []
    code = (f'import os; print({LINE!r}); print(os.environ["SHAPES_ROOT"], '
            f'os.environ["OMP_NUM_THREADS"]); import importlib.util; '
            f'print(importlib.util.find_spec("yolo_world_rep") is not None)')
    run_training([sys.executable, '-c', code],
                 'some/root',
                 tmp_path / 'logs' / 'log',
                 threads=3,
                 on_line=lines.append)
    log = (tmp_path / 'logs' / 'log').read_text().splitlines()
    assert lines == log == [LINE, 'some/root 3', 'True']


def test_failure_names_the_reason_and_the_log(tmp_path):
    code = 'import sys; sys.exit("error: no such file")'
    with pytest.raises(
            ChildProcessError, match='status 1: error: no such file.*log'):
        run_training([sys.executable, '-c', code], '', tmp_path / 'log')


def test_the_process_ends_with_its_caller(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen

    def spy(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, 'Popen', spy)
    code = f'import time; print({LINE!r}, flush=True); time.sleep(60)'

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training([sys.executable, '-c', code], '', tmp_path / 'log',
                     on_line=stop)
    assert started[0].returncode != 0
