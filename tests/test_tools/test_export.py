"""The export as a command."""
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from builders import build_detector, randomize, text_state
from tiny_deploy import SMALL, write_files

from yolo_world_rep.inference import Predictor
from yolo_world_rep_cli.main import main

TOOL = Path(__file__).parents[2] / 'tools' / 'export.py'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp('model'))


@pytest.fixture
def run(files, tmp_path, monkeypatch, capfd):
    """Run the command; status, out and err."""

    def run(*args, checkpoint=files.checkpoint):
        monkeypatch.setenv('COLUMNS', '100')
        monkeypatch.setattr(sys, 'argv', [
            str(TOOL), str(files.config), str(checkpoint), '--out',
            str(tmp_path / 'out'), *map(str, args)
        ])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capfd.readouterr())

    return run


def test_prints_what_was_compared(run, tmp_path):
    image = tmp_path / 'image.png'
    rng = np.random.default_rng(0)
    cv2.imwrite(str(image), rng.integers(0, 256, (80, 60, 3), np.uint8))
    code, out, _ = run('--raw', '--images', image, '--batch', 'dynamic',
                       '--img-size', 96, 64)
    assert code == 0
    assert 'ONNX Runtime (f32) against PyTorch, 1 images' in out
    for line in ('logits', 'distances, strides', 'boxes of detections, px',
                 'detections without counterpart'):
        assert f'│ {line} ' in out
    assert 'detections above 0.05 in PyTorch' in out
    assert "3 classes, 96x64, batch any number, outputs 'raw'" in out
    assert 'TensorRT (not run here): trtexec' in out
    assert '--maxShapes=images:8x3x96x64' in out
    assert [path.name for path in (tmp_path / 'out').iterdir()
            ] == ['tiny_raw.onnx']


def test_one_line_when_it_fails(run, tmp_path):
    code, _, err = run('--format', 'torchscript', '--with-nms')
    assert code == 2
    assert err.startswith('error: TorchScript has no operator')
    assert err.count('\n') == 1
    code, _, err = run(checkpoint=tmp_path / 'none.pth')
    assert (code, err.count('\n')) == (2, 1)
    assert 'none.pth: no such file' in err
    code, _, err = run('--images', tmp_path / 'none.png')
    assert (code, err.count('\n')) == (2, 1)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('args', 'message'), [
    (['--batch', '0'], 'expected 1 or more, or dynamic'),
    (['--img-size', '64', '64', '--dynamic'], 'not allowed with'),
    (['--raw', '--with-nms'], 'not allowed with'),
    (['--int8'], '--int8 needs --calibration'),
    (['--int8', '--calibration', 'x.jpg', '--precision', 'bf16'],
     '--precision bf16 with --int8'),
    (['--calibration', 'x.jpg'], '--calibration goes with --int8'),
])
def test_arguments_that_do_not_go_together(run, args, message):
    code, _, err = run(*args)
    assert code == 2
    assert message in err


def test_a_checkpoint_and_words(tmp_path, monkeypatch, capfd):
    """From a text-conditioned checkpoint to a file, without a config."""
    monkeypatch.chdir(tmp_path)
    model = randomize(build_detector('text', **SMALL))
    torch.save(dict(state_dict=text_state(model), meta={}), 'text.pth')

    def export(*words):
        with pytest.raises(SystemExit) as end:
            main(['export', *words, '--raw', '--img-size', '64', '96',
                  '--out', 'out'])
        return (end.value.code, *capfd.readouterr())

    words = ['--encoder', 'words', '--words', 'cat', 'dog']
    code, out, err = export('text.pth', *words)
    assert code == 0, err
    assert 'wrote out/text_raw.onnx' in out
    assert '2 classes, 64x96' in out
    with Predictor('out/text_raw.onnx') as predictor:
        assert predictor.names == ('cat', 'dog')
    assert export('text.pth')[0] == 2
    assert 'is a config: give its CHECKPOINT' in export(__file__)[2]
    assert 'expected one checkpoint' in export('text.pth', 'text.pth')[2]
