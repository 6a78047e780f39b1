"""What a training leaves behind when it ends badly, and how it goes on."""
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
import torch
from tiny_training import (
    CONFIG,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch
from yolo_world_rep.engine.checkpoints import is_truncated

TESTS = Path(__file__).resolve().parents[1]
KILLED = -signal.SIGKILL


def run_config(root: Path, work_dir: Path, **more):
    resume = more.pop('resume', None)
    return launch.config_for_training(
        read_config(),
        str(CONFIG),
        work_dir=str(work_dir),
        resume=resume,
        cfg_options=options(
            root, **{
                'randomness.seed': 5,  # as in dying_trainings.py
                'default_hooks.checkpoint.max_keep_ckpts': 1,
                **more
            }),
        cuda=False)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    cfg = run_config(root, root / 'unused')
    torch.save(checkpoint_of(build_model(cfg)), root / 'rep_conv.pth')
    return root


@pytest.fixture(scope='module')
def ended(data, tmp_path_factory):
    """Folder of the trainings of dying_trainings.py, and how each ended."""
    out = tmp_path_factory.mktemp('ended')
    subprocess.run(
        [
            sys.executable, str(TESTS / 'dying_trainings.py'),
            str(data), str(out), free_port()
        ],
        env={
            **os.environ, 'OMP_NUM_THREADS': '1',
            'NO_ALBUMENTATIONS_UPDATE': '1',
            'PYTHONPATH': os.pathsep.join([str(TESTS), str(TESTS.parent)])
        },
        check=True)
    return out, json.loads((out / 'ends.json').read_text())


@pytest.fixture(scope='module')
def unbroken(data, tmp_path_factory) -> List[dict]:
    """The steps of a training of two epochs that nothing disturbs."""
    work_dir = tmp_path_factory.mktemp('unbroken')
    launch.build_runner(run_config(data, work_dir)).train()
    return losses(work_dir)


def whole_checkpoints(folder: Path) -> List[str]:
    return sorted(
        path.name for path in folder.glob('epoch_*.pth')
        if not is_truncated(str(path)))


def hidden(folder: Path) -> List[str]:
    return [path.name for path in folder.glob('.*')]


@pytest.mark.parametrize(('name', 'kept', 'begun'), [
    ('Killed', ['epoch_1.pth'], 0),
    ('KilledWriting', ['epoch_1.pth'], 1),
    ('KilledNoting', ['epoch_1.pth', 'epoch_2.pth'], 1),
])
def test_killed_at_any_moment_a_training_goes_on_as_if_unbroken(
        data, ended, unbroken, name, kept, begun):
    out, ends = ended
    assert ends[name] == KILLED
    folder = out / name
    assert whole_checkpoints(folder) == kept
    # Half a checkpoint exists, but not under a checkpoint's name.
    assert len(list(folder.glob('epoch_*.pth'))) == len(kept)
    assert len(hidden(folder)) == begun
    cfg = run_config(data, folder, resume='auto')
    assert Path(cfg.load_from).name == 'epoch_1.pth'
    before = set(folder.glob('*/vis_data'))
    launch.build_runner(cfg).train()
    log, = set(folder.glob('*/vis_data')) - before
    found = [
        json.loads(line)
        for line in (log / 'scalars.json').read_text().splitlines()
    ]
    found = [row for row in found if 'loss' in row]
    assert [row['step'] for row in found] == [3, 4]
    for key in ('loss', 'lr', 'grad_norm'):
        assert [row[key] for row in found] == pytest.approx(
            [row[key] for row in unbroken[2:]], rel=1e-4), key
    assert 'epoch_2.pth' in whole_checkpoints(folder)
    assert hidden(folder) == []


def test_full_disk_is_one_line_and_costs_no_checkpoint(data, ended):
    out, ends = ended
    folder = out / 'DiskFull'
    assert ends['DiskFull'] == 2
    text = (out / 'DiskFull.txt').read_text()
    line, = [row for row in text.splitlines() if row.startswith('error: ')]
    assert 'Traceback' not in text
    assert str(folder / 'epoch_2.pth') in line
    assert 'File too large' in line  # of the limit; ENOSPC reads otherwise
    assert '`resume`' in line
    assert whole_checkpoints(folder) == ['epoch_1.pth']
    assert hidden(folder) == []
    cfg = run_config(data, folder, resume='auto')
    assert Path(cfg.load_from).name == 'epoch_1.pth'


def test_a_killed_process_ends_the_others(ended):
    # No torchrun is there to end them.
    out, ends = ended
    assert ends['rank1'] == KILLED
    assert ends['rank0'] == 2
    text = (out / 'rank0.txt').read_text()
    assert 'Traceback' not in text
    line, = [row for row in text.splitlines() if row.startswith('error: ')]
    assert 'Process 0 of 2 lost another one' in line
