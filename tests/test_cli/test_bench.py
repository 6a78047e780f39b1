"""Latency from the command line."""
import json

import pytest
import torch
from builders import build_detector, randomize
from tiny_deploy import SMALL
from tiny_exports import save_brightness

from yolo_world_rep_cli.main import main


@pytest.fixture
def bench(tmp_path, capsys, monkeypatch):
    """Run it on two files: exit status, output, errors."""
    monkeypatch.setenv('COLUMNS', '100')
    files = [tmp_path / name for name in ('a', 'b')]
    for folder in files:
        folder.mkdir()
        save_brightness(folder)

    def run(*words, more=()):
        models = [str(folder / 'brightness.torchscript') for folder in files]
        models += more
        with pytest.raises(SystemExit) as end:
            main(['bench', *models, '--rounds', '2', *words])
        return (end.value.code or 0, *capsys.readouterr())

    return run


def test_table(bench):
    status, out, err = bench('--batch', '3')
    assert (status, err) == (0, '')
    assert 'medians of 2 rounds' in out
    assert out.count('3x3x64x96') == 1  # in the title, for both
    assert out.count('TorchScript') == 2
    assert ' 1.00 ' in out


def test_json(bench, tmp_path):
    status, out, _ = bench('--json')
    assert status == 0
    first, second = json.loads(out)
    assert first['model'] == str(tmp_path / 'a' / 'brightness.torchscript')
    assert first['ratio'] == 1
    assert second['ratio'] == pytest.approx(
        second['milliseconds'] / first['milliseconds'])


def test_one_line_when_it_fails(bench):
    status, out, err = bench('--checkpoint', __file__)
    assert (status, out) == (2, '')
    assert err.count('\n') == 1
    assert '--checkpoint for each config' in err


def test_a_warning_does_not_mix_with_the_json(bench, tmp_path, monkeypatch):
    monkeypatch.setattr('yolo_world_rep.inference.processor.has_vnni',
                        lambda: False)
    save_brightness(tmp_path / 'a', precision='int8')
    status, out, err = bench('--json')
    assert status == 0
    assert [each['precision'] for each in json.loads(out)] == ['int8', 'f32']
    assert err.count('\n') == 1
    assert 'INT8 with weights of 8 bits' in err


def test_words_are_for_the_text_conditioned_ones(bench, tmp_path):
    model = randomize(build_detector('text', **SMALL)).state_dict()
    del model['embeddings']
    torch.save(dict(state_dict=model, meta={}), tmp_path / 'text.pth')
    words = ('--words', 'cat', 'dog', '--encoder', 'words')
    status, out, err = bench('--json', '--img-size', '64', '96', *words,
                             more=[str(tmp_path / 'text.pth')])
    assert status == 0, err
    assert [each['runtime'] for each in json.loads(out)] == [
        'TorchScript', 'TorchScript', 'PyTorch']
    status, _, err = bench(*words)
    assert (status, err.count('\n')) == (2, 1)
    assert '--words: none of the models is a text-conditioned' in err
