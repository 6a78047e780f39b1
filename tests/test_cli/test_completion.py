"""Completion for shells."""
import builtins
import shutil
import subprocess

import pytest

from yolo_world_rep_cli.commands import COMMANDS
from yolo_world_rep_cli.main import main


def completion(capsys, shell):
    with pytest.raises(SystemExit) as end:
        main(['completion', shell])
    return (end.value.code or 0, *capsys.readouterr())


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_knows_every_command(capsys, shell):
    pytest.importorskip('shtab')
    status, out, _ = completion(capsys, shell)
    assert status == 0
    for name in COMMANDS:
        assert name in out


@pytest.mark.skipif(shutil.which('bash') is None, reason='no bash here')
@pytest.mark.parametrize(('words', 'expected'), [
    (['ins'], {'inspect'}),
    (['export', '--form'], {'--format'}),
    (['export', '--format', 'o'], {'onnx', 'openvino'}),
    (['inspect', 'model.p'], {'model.pth'}),
])
def test_completes_in_bash(capsys, tmp_path, words, expected):
    pytest.importorskip('shtab')
    script = tmp_path / 'completion.sh'
    script.write_text(completion(capsys, 'bash')[1])
    (tmp_path / 'model.pth').touch()
    line = ' '.join(f"'{word}'" for word in ('yolo-world-rep', *words))
    done = subprocess.run(
        [
            'bash', '-c', f'. ./completion.sh; COMP_WORDS=({line}); '
            f'COMP_CWORD={len(words)}; COMP_LINE="yolo-world-rep"; '
            f'f=$(complete -p yolo-world-rep | sed "s/.*-F //; s/ .*//"); '
            f'$f; printf "%s\\n" "${{COMPREPLY[@]}}"'
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True)
    assert set(done.stdout.split()) == expected, done.stderr


def test_says_what_to_install(capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == 'shtab':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    status, out, err = completion(capsys, 'bash')
    assert (status, out) == (2, '')
    assert 'pip install "yolo-world-rep[completion]"' in err
