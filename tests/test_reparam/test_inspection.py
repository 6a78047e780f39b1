"""What a checkpoint is, told from its tensors and meta."""
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from builders import GOLDEN, build_detector

from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.reparam.inspection import (
    describe_state_dict,
    inspect_checkpoint,
)

TOOL = Path(__file__).parents[2] / 'tools' / 'inspect_checkpoint.py'


@pytest.mark.parametrize('name', GOLDEN)
def test_text_conditioned(golden_dir, name):
    found = inspect_checkpoint(golden_dir / f'{name}.pth')
    assert found['kind'] == 'text-conditioned'
    assert found['head'].startswith(name[:2])
    assert found['dual_neck'] == ('dual' in name)
    assert found['text_width'] == 64
    assert found['text_encoder']
    assert found['can_fold_other_texts']


@pytest.mark.parametrize(('form', 'kind'), [
    ('rep_conv', 'folded, convolutions in the neck (rep_conv)'),
    ('rep_linear', 'folded, matrices in the neck (rep_linear)'),
    ('text', 'folded head, text-conditioned neck (rep_head)'),
])
def test_folded(golden_dir, tmp_path, form, kind):
    path = convert_checkpoint(golden_dir / 'v2_bn.pth',
                              golden_dir / 'v2_bn_text.npy', tmp_path,
                              form).path
    found = inspect_checkpoint(path)
    assert found['kind'] == kind
    assert found['classes'] == 7
    assert found['guides'] == (None if form == 'text' else 7)
    assert found['folding']['source']['file'] == 'v2_bn.pth'
    assert found['can_fold_other_texts']
    assert not found['text_encoder']


@pytest.mark.parametrize(('size', 'widen_factor'), [('s', 0.5), ('m', 0.75),
                                                    ('l', 1.0), ('x', 1.25)])
def test_sizes(size, widen_factor):
    with torch.device('meta'):
        model = build_detector('text', widen_factor=widen_factor)
    found = describe_state_dict(model.state_dict())
    assert found['size'] == size
    assert found['prompts'] == [7, 64]


def test_something_else(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    assert inspect_checkpoint(path)['kind'] == 'not a YOLO-World'


@pytest.mark.parametrize('args', [[], ['--json']])
def test_command(golden_dir, monkeypatch, capsys, args):
    monkeypatch.setattr(
        sys, 'argv', [str(TOOL), str(golden_dir / 'v2_bn.pth'), *args])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert 'text-conditioned' in out
    if args:
        assert json.loads(out)['text_width'] == 64


def test_command_refuses_in_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'x.pth'
    path.write_text('hello')
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 2
    assert capsys.readouterr().err.count('\n') == 1
