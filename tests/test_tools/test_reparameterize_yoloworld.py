"""The converter as a command."""
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

from yolo_world_rep_cli.main import main

TOOL = Path(__file__).parents[2] / 'tools' / 'reparameterize_yoloworld.py'


@pytest.fixture
def convert(golden_dir, tmp_path, monkeypatch, capsys):
    """Run the command on the golden checkpoint; status, out and err."""

    def run(*args, name='v2_bn'):
        argv = [
            str(TOOL), '--model', str(golden_dir / f'{name}.pth'),
            '--text-embed', str(golden_dir / f'{name}_text.npy'),
            '--out-dir', str(tmp_path / 'out'), *args
        ]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ('args', 'form'),
    [(['--conv-neck'], 'rep_conv'), ([], 'rep_conv'),
     (['--matrix-neck'], 'rep_linear'),
     (['--head-only'], 'rep_head')])
def test_convert(convert, tmp_path, args, form):
    status, out, err = convert(*args)
    assert status == 0
    assert err == ''
    path = tmp_path / 'out' / f'v2_bn_{form}.pth'
    meta = torch.load(path, weights_only=True)['meta']
    assert meta['yolo_world_rep']['format'] == form
    assert str(path) in out
    for layer in ['cls_contrasts.0', 'cls_contrasts.1', 'cls_contrasts.2']:
        assert layer in out
    assert ('neck.bottom_up_layers.1' in out) == (form != 'rep_head')


@pytest.mark.parametrize(('args', 'name', 'message'), [
    (['--text-embed', 'nowhere.npy'], 'v2_bn', 'nowhere.npy'),
    (['--model', 'nowhere.pth'], 'v2_bn', 'nowhere.pth: no such file'),
    (['--texts', 'nowhere.json'], 'v2_bn', 'nowhere.json'),
])
def test_refusals_are_one_line(convert, tmp_path, args, name, message):
    status, out, err = convert(*args, name=name)
    assert status == 2
    assert out == ''
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err
    assert not (tmp_path / 'out').exists()


def test_converting_the_result_says_how_to_go_on(convert, tmp_path):
    convert('--conv-neck')
    result = tmp_path / 'out' / 'v2_bn_rep_conv.pth'
    status, _, err = convert('--model', str(result))
    assert status == 2
    assert 'reparameterized already' in err
    assert 'Fine-tune it' in err


def test_words_are_embedded_padded_and_folded(golden_dir, tmp_path, capsys):
    """In one command; the result lies beside the checkpoint."""
    shutil.copy(golden_dir / 'v2_bn.pth', tmp_path / 'm.pth')

    def fold(*words):
        with pytest.raises(SystemExit) as end:
            main(['fold', str(tmp_path / 'm.pth'), *words])
        return (end.value.code, *capsys.readouterr())

    words = ('--encoder', 'words', '--words', 'cat', 'traffic light')
    status, out, err = fold(*words)
    assert (status, err) == (0, '')
    assert str(tmp_path / 'm_rep_conv.pth') in out
    about = torch.load(tmp_path / 'm_rep_conv.pth',
                       weights_only=True)['meta']['yolo_world_rep']
    assert about['classes'] == ('cat', 'traffic light')
    assert (about['num_classes'], about['num_guide']) == (2, 3)
    assert about['neck_vocabulary'] == 'padded'
    assert 'leave --pad and' in fold(*words, '--overwrite', '--pad')[2]
    assert fold('--text-embed', 'a.npy', *words)[0] == 2
    assert fold()[0] == 2


def test_models_of_ultralytics_get_no_padding(golden_dir, tmp_path):
    state = torch.load(golden_dir / 'v2_bn.pth',
                       weights_only=True)['state_dict']
    source = dict(layout='ultralytics')
    torch.save(dict(state_dict=state, meta=dict(
        yolo_world_rep=dict(format='text', source=source))),
        tmp_path / 'm.pth')
    with pytest.raises(SystemExit) as end:
        main(['fold', str(tmp_path / 'm.pth'), '--encoder', 'words',
              '--words', 'cat', 'dog'])
    assert end.value.code == 0
    about = torch.load(tmp_path / 'm_rep_conv.pth',
                       weights_only=True)['meta']['yolo_world_rep']
    assert (about['num_classes'], about['num_guide']) == (2, 2)
    assert about['neck_vocabulary'] == 'same'
