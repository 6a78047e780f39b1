"""Changing the classes of a folded checkpoint from the command line."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import save_embeddings

TOOL = Path(__file__).parents[2] / 'tools' / 'edit_vocabulary.py'


@pytest.fixture
def edit(golden_dir, tmp_path, monkeypatch, capsys):
    """Run the command on a folded golden checkpoint; status, out, err."""
    names = tuple('abcdefg')
    texts = tmp_path / 'seven.npy'
    save_embeddings(texts, np.load(golden_dir / 'v2_bn_text.npy'), names)
    folded = convert_checkpoint(golden_dir / 'v2_bn.pth', texts, tmp_path,
                                'rep_conv').path
    save_embeddings(
        tmp_path / 'new.npy', np.eye(2, 64, dtype=np.float32), ['x', 'y'])

    def run(*args):
        args = [arg.replace('NEW', str(tmp_path / 'new.npy')) for arg in args]
        monkeypatch.setattr(sys, 'argv', [
            str(TOOL), str(folded), '--out', str(tmp_path / 'out.pth'), *args
        ])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(('args', 'names'), [
    (['--keep', 'c', 'a'], 'ca'),
    (['--add', 'NEW'], 'abcdefgxy'),
    (['--replace', 'NEW'], 'xy'),
    (['--keep', 'b', '--add', 'NEW'], 'bxy'),
])
def test_edit(edit, tmp_path, args, names):
    status, out, _ = edit(*args)
    assert status == 0
    assert f'{len(names)} classes, {len(names)} guides' in out
    content = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert content['meta']['dataset_meta']['classes'] == tuple(names)


@pytest.mark.parametrize(('args', 'message'), [
    ([], 'Say what to change'),
    (['--keep', 'z'], "no classes named ['z']"),
    (['--add', 'nowhere.npy'], 'nowhere.npy'),
])
def test_refusals_are_one_line(edit, tmp_path, args, message):
    status, _, err = edit(*args)
    assert status == 2
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err
    assert not (tmp_path / 'out.pth').exists()
