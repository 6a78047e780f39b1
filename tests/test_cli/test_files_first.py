"""Files of a command are looked for before anything takes time."""
import subprocess
import sys

import pytest

from yolo_world_rep_cli.commands import COMMANDS
from yolo_world_rep_cli.main import main

HERE = __file__
# What each command needs besides a file that is not there.
MISSING = {
    'embed': ['--text', 'gone.json', '--out', 'a.npy'],
    'reparameterize': ['gone.pth', '--words', 'cat'],
    'edit': ['gone.pth', '--out', 'a.pth'],
    'inspect': ['gone.pth'],
    'interpolate': ['gone.pth', HERE, '--alpha', '0.5', '--out', 'a.pth'],
    'convert-ultralytics': ['--model', 'gone.pt', '--out', 'a.pth'],
    'new-config': ['--data', '.', '--checkpoint', 'gone.pth', '--out', 'a.py'],
    'migrate-config': ['gone.py', '--out', 'a.py'],
    'train': ['gone.py'],
    'test': ['gone.py', HERE],
    'report': ['gone'],
    'retention': ['gone.py', '--before', HERE, '--after', HERE,
                  '--text-embed', HERE],
    'export': ['gone.pth'],
    'predict': ['gone.onnx', HERE],
    'evaluate': ['gone.onnx', HERE, '.'],
    'bench': ['gone.onnx'],
}
WITHOUT = {'download', 'demo', 'completion'}  # they read no file
# A process that cannot import what takes time.
CODE = ('import sys\n'
        'for name in ("torch", "numpy", "mmengine", "cv2"):\n'
        '    sys.modules[name] = None\n'
        'from yolo_world_rep_cli.main import main\n'
        'main(sys.argv[1:])')


def test_each_command_is_here():
    assert MISSING.keys() | WITHOUT == COMMANDS.keys()


@pytest.mark.parametrize('name', MISSING)
def test_a_missing_file_is_said_before_anything_is_imported(tmp_path, name):
    done = subprocess.run([sys.executable, '-c', CODE, name, *MISSING[name]],
                          cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (2, '')
    gone = next(word for word in MISSING[name] if 'gone' in word)
    what = 'file' if '.' in gone else 'file or folder'
    assert done.stderr == f'error: {gone}: no such {what}\n'


@pytest.fixture
def said(capsys):
    """What a command ends with."""

    def said(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert end.value.code == 2
        err = capsys.readouterr().err
        assert err.count('\n') == 1
        return err

    return said


def test_where_nothing_can_be_written(said, tmp_path):
    file = tmp_path / 'a.pth'
    file.touch()
    edit = ('edit', file, '--out')
    assert f'{file} is no folder' in said(*edit, file / 'out.pth')
    assert said(*edit, file).startswith(
        f'error: {file} exists; remove it, choose another --out, or pass '
        f'--overwrite')
    assert 'expected a name that ends in .npy' in said(
        'embed', '--text', HERE, '--out', tmp_path / 'a.json')
    assert 'expected a name that ends in .pkl or .pickle' in said(
        'test', HERE, file, '--out', tmp_path / 'a.json')


def test_names_of_models_and_urls_are_no_missing_files(said):
    for model in ('https://127.0.0.1:9/a.pth', 'yolo-world-v2-s'):
        assert 'no such file\n' not in said('inspect', model)
