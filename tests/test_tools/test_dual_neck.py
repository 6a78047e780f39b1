"""The dual neck of v1 through the commands: folded, trained, exported."""
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import build_detector, randomize
from tiny_training import CONFIG, NAMES, losses, options, write_images

from yolo_world_rep.inference.backends import open_backend

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
ENHANCER = dict(embed_channels=32, num_heads=4)


@pytest.fixture
def run(monkeypatch, capfd):
    """Run a command that is expected to succeed; what it prints."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                        lambda text, **_: (text, True))
    # mmengine's loggers keep streams that pytest has closed since.
    monkeypatch.setattr('logging.raiseExceptions', False)

    def run_tool(name, *words):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        out, err = capfd.readouterr()
        assert ended.value.code == 0, err
        return out

    return run_tool


@pytest.fixture
def config(tmp_path):
    """The fine-tuning config, made tiny, with the dual neck and v1's head."""
    write_images(tmp_path)
    settings = {
        **options(tmp_path, max_epochs=1),
        'model.neck.type': 'RepYOLOWorldDualPAFPN',
        'model.neck.text_channels': 64,
        'model.neck.text_enhancder': ENHANCER,
        'model.bbox_head.head_module.use_bn_head': False,
        'model.bbox_head.head_module.embed_dims': 64,
    }
    nested: dict = {}
    for key, value in settings.items():
        *path, last = key.split('.')
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    path = tmp_path / 'dual.py'
    path.write_text(f'_base_ = {str(CONFIG)!r}\n' + ''.join(
        f'{key} = {value!r}\n' for key, value in nested.items()))
    return path


def test_folded_trained_and_exported(run, config, tmp_path):
    model = randomize(
        build_detector(
            num_classes=len(NAMES),
            embed_dims=64,
            use_bn_head=False,
            dual=ENHANCER,
            deepen_factor=0.33))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'dual.pth')
    text = np.random.default_rng(0).normal(size=(len(NAMES), 64))
    np.save(tmp_path / 'dual.npy', text.astype('f4'))
    (tmp_path / 'dual.json').write_text(json.dumps(NAMES))
    out = run('reparameterize_yoloworld.py', '--model', tmp_path / 'dual.pth',
              '--text-embed', tmp_path / 'dual.npy', '--keep-norms',
              '--out-dir', tmp_path)
    folded_path = tmp_path / 'dual_rep_conv.pth'
    assert folded_path.name in out
    folded = torch.load(folded_path, weights_only=True)['state_dict']
    np.testing.assert_array_equal(folded['neck.texts'], text.astype('f4'))

    run('train.py', config, '--work-dir', tmp_path / 'train',
        '--cfg-options', f'load_from={folded_path}')
    steps = losses(tmp_path / 'train')
    assert len(steps) == 2
    assert all(np.isfinite(step['loss']) for step in steps)
    trained_path = tmp_path / 'train' / 'epoch_1.pth'
    trained = torch.load(trained_path, weights_only=False)['state_dict']
    assert trained.keys() == folded.keys()
    assert torch.equal(trained['neck.texts'], folded['neck.texts'])
    for name in ('neck.text_enhancer.query_weight',
                 'neck.top_down_layers.0.attn_block.guide_convs.0.weight',
                 'neck.bottom_up_layers.0.attn_block.guide_fc.weight',
                 'bbox_head.head_module.cls_contrasts.0.conv.weight'):
        assert not torch.equal(trained[name], folded[name]), name

    image = np.random.default_rng(1).random((1, 3, 64, 64), np.float32)
    outputs = {}
    for format, suffix in (('onnx', 'onnx'), ('openvino', 'xml')):
        # It ends in an error if the file and PyTorch do not agree.
        out = run('export.py', config, trained_path, '--out',
                  tmp_path / 'out', '--format', format, '--raw')
        assert 'against PyTorch' in out
        with open_backend(tmp_path / 'out' / f'epoch_1_raw.{suffix}',
                          threads=1) as backend:
            assert backend.spec.classes == NAMES
            outputs[format] = backend.run(image)
    for one, other in zip(outputs['onnx'], outputs['openvino']):
        np.testing.assert_allclose(
            one, other, rtol=0, atol=1e-4 * np.abs(one).max())
