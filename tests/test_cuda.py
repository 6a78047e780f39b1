"""What only a GPU can show; skipped where there is none."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_deploy
import torch
from builders import build_detector, randomize, run_detector, worst_error
from tiny_training import (
    CONFIG,
    arguments,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.deploy import export_model, fuse
from yolo_world_rep.engine import resolve_variables
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.reparam.state_dict import reparameterize_state_dict

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='torch sees no GPU')
TOOLS = Path(__file__).resolve().parents[1] / 'tools'


def on_cpu(outputs):
    return {name: tensor.cpu() for name, tensor in outputs.items()}


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
@pytest.mark.parametrize('classes', [1, 7, 131])
def test_all_forms_agree(form, classes):
    text_model = randomize(
        build_detector('text', num_classes=classes).double())
    text = torch.randn(classes, 64, dtype=torch.float64)
    folded = build_detector(form, num_classes=classes).double()
    folded.load_state_dict(
        reparameterize_state_dict(text_model.state_dict(), text, form))
    image = torch.rand(2, 3, 96, 64, dtype=torch.float64)
    expected = run_detector(text_model, image, text)
    for outputs in (run_detector(text_model.cuda(), image.cuda(),
                                 text.cuda()),
                    run_detector(folded.cuda(), image.cuda())):
        assert worst_error(on_cpu(outputs), expected) < 1e-10
    outputs = fuse(folded)(image.cuda(), mode='tensor')
    fused = {
        f'{name}{i}': level
        for name, levels in zip(('cls', 'bbox'), outputs)
        for i, level in enumerate(levels)
    }
    assert worst_error(on_cpu(fused),
                       {name: expected[name] for name in fused}) < 1e-10


@pytest.mark.parametrize('form', ['checkpoint', 'torchscript'])
def test_a_backend_gives_what_it_gives_on_a_cpu(tmp_path, form, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    model = tiny_deploy.write_files(tmp_path)
    if form == 'torchscript':
        model = [export_model(*model, tmp_path, form).path]
    images = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    found, expected = (
        open_backend(*model, device=device).run(images)
        for device in ('cuda:0', 'cpu'))
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def run(*command, gpu=True):
    """A command's output; without the GPU if it is not to see it."""
    env = dict(os.environ, NO_ALBUMENTATIONS_UPDATE='1', PYTHON=sys.executable)
    if not gpu:
        env['CUDA_VISIBLE_DEVICES'] = ''
    done = subprocess.run([str(word) for word in command],
                          env=env,
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    cfg = read_config()
    cfg.merge_from_dict(options(root))
    model = build_model(resolve_variables(cfg)[0])
    torch.save(checkpoint_of(model), root / 'rep_conv.pth')
    return root


@pytest.mark.parametrize('how', ['amp', 'torchrun'])
def test_trains_and_goes_on_and_tests(data, tmp_path, how):
    words = arguments(data)
    train = [TOOLS / 'dist_train.sh', CONFIG, '1'] if how == 'torchrun' else [
        sys.executable, TOOLS / 'train.py', CONFIG, '--amp']
    train.append('--verbose')
    whole, second = tmp_path / 'whole', tmp_path / 'second'
    text = run(*train, '--work-dir', whole, *words)
    assert ('AmpOptimWrapper' in text) == (how == 'amp')
    run(*train, '--work-dir', second, '--resume', whole / 'epoch_1.pth',
        *words)
    first, again = losses(whole)[2:], losses(second)
    assert len(first) == len(again) == 2
    for one, other in zip(first, again):
        assert one['epoch'] == other['epoch'] == 2
        assert one['lr'] == other['lr']
        # A GPU does not add in the same order twice.
        assert other['loss'] == pytest.approx(one['loss'], rel=5e-3)
    scores = []
    for gpu in (True, False):
        found = tmp_path / str(gpu)
        run(sys.executable, TOOLS / 'test.py', CONFIG, whole / 'epoch_2.pth',
            '--work-dir', found, '--json-prefix', found / 'found', *words,
            gpu=gpu)
        rows = json.loads((found / 'found.bbox.json').read_text())
        scores.append(sorted(row['score'] for row in rows)[-20:])
    np.testing.assert_allclose(*scores, rtol=0.02)
