"""The commands where POSIX is missing, and where the locale is not UTF-8.

A simulation: see other_system/sitecustomize.py for what is taken away.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import build_detector, randomize
from mmengine.config import Config
from tiny_deploy import SMALL
from tiny_deploy import write_files as write_tiny_files
from tiny_training import (
    CONFIG,
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch

TESTS = Path(__file__).resolve().parents[1]
NAMES = ('bäll', '箱', 'kite')
SYSTEMS = dict(
    no_posix=dict(PYTHONPATH=str(TESTS / 'other_system')),
    no_utf8=dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0'))


@pytest.fixture(params=SYSTEMS)
def command(request):
    """Run a command there; gives what it printed."""
    usual = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('LC_', 'LANG', 'PYTHON'))}

    def run(*words, status=0, program=('-m', 'yolo_world_rep_cli')):
        done = subprocess.run(
            [sys.executable, *program, *map(str, words)],
            env={**usual, 'NO_ALBUMENTATIONS_UPDATE': '1',
                 **SYSTEMS[request.param]},
            stdin=subprocess.DEVNULL,
            capture_output=True)
        output = done.stdout + done.stderr
        assert done.returncode == status, output[-9000:].decode()
        assert b'Traceback' not in output, output[-9000:].decode()
        return output.decode('ascii' if 'LC_ALL' in SYSTEMS[
            request.param] else 'utf-8')

    run.spawns = request.param == 'no_posix'
    return run


def test_the_simulation_takes_away(command):
    """Else the tests below say nothing."""
    lacking = command(
        program=('-c', """
import locale, os
lacks = [name for name in ('link', 'fork') if not hasattr(os, name)]
for name in ('fcntl', 'resource'):
    try:
        __import__(name)
    except ImportError:
        lacks.append(name)
try:
    os.open('.', os.O_RDONLY)
except PermissionError:
    lacks.append('folders')
print(lacks or locale.getpreferredencoding(False))
""")).strip()
    assert lacking in ("['link', 'fork', 'fcntl', 'resource', 'folders']",
                       'ANSI_X3.4-1968', 'US-ASCII')


def test_fold_inspect_export_and_predict(command, tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    model = randomize(build_detector('text', **SMALL))
    state = {k: v for k, v in model.state_dict().items() if k != 'embeddings'}
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'text.pth')
    np.save(tmp_path / 'names.npy',
            np.eye(3, SMALL['embed_dims'], dtype=np.float32))
    (tmp_path / 'names.json').write_text(
        json.dumps([[name] for name in NAMES], ensure_ascii=False),
        encoding='utf-8')
    command('reparameterize', '--model', tmp_path / 'text.pth',
            '--text-embed', tmp_path / 'names.npy', '--texts',
            tmp_path / 'names.json', '--out-dir', tmp_path)
    folded = tmp_path / 'text_rep_conv.pth'
    assert 'kite' in command('inspect', folded)
    # what is there is not replaced, by whatever means the system has
    assert 'exists' in command(
        'reparameterize', '--model', tmp_path / 'text.pth', '--text-embed',
        tmp_path / 'names.npy', '--out-dir', tmp_path,
        status=2)
    config = write_tiny_files(tmp_path).config
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.metainfo.classes = NAMES
    cfg.dump(config)
    write_images(tmp_path / 'data', 2, NAMES)
    command('export', config, folded, '--format', 'onnx', '--out',
            tmp_path / 'out', '--images', tmp_path / 'data' / 'images')
    command('predict', tmp_path / 'out' / 'text_rep_conv.onnx',
            tmp_path / 'data' / 'images', '--json', tmp_path / 'found.json',
            '--score', '0', '--save-dir', tmp_path / 'drawn')
    found = json.loads((tmp_path / 'found.json').read_text(encoding='utf-8'))
    assert found


def test_train_with_workers_and_test(command, tmp_path):
    # The log file of mmengine has the encoding of the locale.
    names = NAMES if command.spawns else ('ball', 'box', 'kite')
    root = tmp_path / 'data'
    write_images(root, names=names)
    cfg = launch.config_for_training(
        read_config(), str(CONFIG), work_dir=str(tmp_path / 'run'),
        cfg_options=options(root, class_names=names, max_epochs=1),
        cuda=False)
    torch.save(checkpoint_of(build_model(cfg), names), root / 'rep_conv.pth')
    cfg.merge_from_dict({
        'train_dataloader.num_workers': int(command.spawns),
        'env_cfg.mp_cfg.mp_start_method': 'spawn'})
    path = tmp_path / 'config.py'
    cfg.dump(path)
    command('train', path, '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
    log, = (tmp_path / 'run').glob('*/*.log')
    assert 'coco/bbox_mAP' in log.read_text(encoding='utf-8')
    command('test', path, tmp_path / 'run' / 'epoch_1.pth', '--work-dir',
            tmp_path / 'test')
