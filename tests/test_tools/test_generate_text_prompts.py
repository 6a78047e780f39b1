"""Embeddings from the command line."""
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from yolo_world_rep.text import load_embeddings

TOOL = Path(__file__).parents[2] / 'tools' / 'generate_text_prompts.py'
CLASSES = [['cat', 'kitten'], ['red circle'], ['dog']]


@pytest.fixture
def generate(tmp_path, monkeypatch, capsys):
    """Run the command on three classes; status, out and err."""

    def run(*args, classes=CLASSES):
        text = tmp_path / 'classes.json'
        text.write_text(json.dumps(classes))
        monkeypatch.setattr(sys, 'argv', [
            str(TOOL), '--text', str(text), '--out',
            str(tmp_path / 'out.npy'), *map(str, args)
        ])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    return run


def test_words(generate, tmp_path):
    """No weights, no network; a bare np.load reads the result."""
    status, out, _ = generate('--encoder', 'words', '--dim', 32, '--pad')
    assert status == 0
    assert '3 classes, 32 wide' in out
    rows = np.load(tmp_path / 'out.npy')
    assert rows.dtype == np.float32
    assert rows.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    embeddings = load_embeddings(tmp_path / 'out.npy')
    assert embeddings.names == ('cat', 'red circle', 'dog')
    sidecar = json.loads((tmp_path / 'out.json').read_text())
    assert sidecar['encoder'] == 'words:32:0'
    assert sidecar['sha256'] == embeddings.sha256
    padded = load_embeddings(tmp_path / 'out_padded.npy')
    assert padded.names == ('cat', 'red circle', 'dog', ' ')
    assert (padded.vectors[:3] == rows).all()


def test_clip(generate, tmp_path, clip_folder):
    status, out, _ = generate('--model', clip_folder, '--synonyms', 'mean',
                              '--prompt-format', '{}', 'a photo of a {0}')
    assert status == 0
    prompts = json.loads((tmp_path / 'out.json').read_text())['prompts']
    assert prompts[0] == 'cat / a photo of a cat'
    assert f'by clip:{clip_folder.name}' in out
    assert np.load(tmp_path / 'out.npy').shape == (3, 64)


@pytest.mark.parametrize(('args', 'classes', 'message'), [
    (['--encoder', 'words'], [['cat'], ['cat']], 'names two classes'),
    (['--encoder', 'words'], [['cat'], ['']], 'empty text'),
    (['--encoder', 'words'], [], 'the list is empty'),
    (['--encoder', 'words', '--dim', '0'], CLASSES, 'dim=0'),
    ([], CLASSES, 'model is missing'),
])
def test_refusals_are_one_line(generate, tmp_path, args, classes, message):
    status, out, err = generate(*args, classes=classes)
    assert status == 2
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err
    assert not (tmp_path / 'out.npy').exists()
