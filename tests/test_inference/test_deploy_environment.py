"""Exported files run where nothing but requirements/deploy.txt is."""
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from runtime_process import write_onnx

ROOT = Path(__file__).resolve().parents[2]
IN_PYTHON = """
import sys
from yolo_world_rep import YOLOWorld
model = YOLOWorld('m.onnx')
assert repr(model).startswith("YOLOWorld('m.onnx': exported")
result, = model.predict('images/')
print(type(result).__name__, *{'torch', 'mmengine'} & set(sys.modules))
"""


def names_of(requirement):
    """A distribution and, without extras, what it needs in turn."""
    yield requirement
    for line in metadata.requires(requirement) or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate(
                dict(extra='')):
            yield from names_of(needed.name)


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """Python with links to the files of these distributions alone."""
    pytest.importorskip('onnxruntime', reason='runs ONNX files')
    folder = tmp_path_factory.mktemp('env')
    subprocess.run(
        [sys.executable, '-m', 'venv', '--without-pip', folder], check=True)
    python = next(folder.glob('[bS]*/python*'))
    packages = Path(subprocess.run(
        [python, '-c', 'import sysconfig\n'
         'print(sysconfig.get_path("purelib"))'],
        capture_output=True, text=True, check=True).stdout.strip())
    lines = (ROOT / 'requirements' / 'deploy.txt').read_text(encoding='utf-8')
    for line in lines.splitlines():
        if line.startswith('#'):
            continue
        for name in names_of(Requirement(line).name):
            for file in metadata.files(name) or ():
                top = file.parts[0]
                if top != '..' and not (packages / top).exists():
                    (packages / top).symlink_to(
                        Path(metadata.distribution(name).locate_file(top)))
    for name in ('yolo_world_rep', 'yolo_world_rep_cli'):
        (packages / name).symlink_to(ROOT / name)
    return python


def run(python, folder, *words):
    environment = {name: value for name, value in os.environ.items()
                   if name != 'PYTHONPATH'}
    return subprocess.run(
        [python, *words], cwd=folder, env=environment, capture_output=True,
        text=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('files')
    (folder / 'images').mkdir()
    Image.fromarray(np.full((48, 80, 3), 200, np.uint8)).save(
        folder / 'images' / 'a.png')
    write_onnx(folder / 'm.onnx')
    return folder


def test_the_command(python, folder):
    done = run(python, folder, '-m', 'yolo_world_rep_cli', 'predict',
               'm.onnx', 'images', '--save-dir', 'out', '--json', 'r.json',
               '--score', '0.01')
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (folder / 'out').iterdir()] == ['a.jpg']
    assert json.loads((folder / 'r.json').read_text(encoding='utf-8'))


def test_the_class(python, folder):
    done = run(python, folder, '-c', IN_PYTHON)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'Result\n'


def test_what_needs_torch_says_so(python, folder):
    (folder / 'm.pth').touch()
    done = run(python, folder, '-m', 'yolo_world_rep_cli', 'inspect', 'm.pth')
    assert done.returncode == 2
    assert done.stderr == (
        "error: No module named 'torch'; it is a requirement of this "
        'package, which was installed here without its requirements\n')
