"""What is built installs into an empty environment and works there."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import build_detector, randomize

import yolo_world_rep

ROOT = Path(__file__).resolve().parents[1]
TORCH = torch.__version__.split('+')[0]
# Run in the new environment; where things are, and what the wheel carries.
LOOK = """
from pathlib import Path
import yolo_world_rep, yolo_world_rep_cli
from yolo_world_rep.utils.configs import config_root
for package in yolo_world_rep, yolo_world_rep_cli:
    assert 'site-packages' in package.__file__, package.__file__
    assert Path(package.__file__).with_name('py.typed').is_file()
names = {path.name for path in (config_root().parent / 'tools').iterdir()}
assert {'train.py', 'dist_train.sh'} <= names, names
configs = list(config_root().glob('finetune_coco/*.py'))
assert configs
from mmengine.config import Config
Config.fromfile(configs[0])
"""


def run(*command, **settings):
    """A command's standard output; it must succeed."""
    environment = {
        name: value
        for name, value in os.environ.items() if name != 'PYTHONPATH'
    }
    # Where pip is told to look for wheels, uv may look as well.
    if 'PIP_FIND_LINKS' in os.environ:
        environment.setdefault('UV_FIND_LINKS', os.environ['PIP_FIND_LINKS'])
    done = subprocess.run([str(word) for word in command],
                          env=environment,
                          capture_output=True,
                          text=True,
                          **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """The wheel and the sdist, by python -m build as for a release."""
    pytest.importorskip('build', reason='python -m build makes them')
    source = tmp_path_factory.mktemp('source') / 'checkout'
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns('.*', '__pycache__', 'work_dirs',
                                      'build', 'dist', '*.egg-info'))
    out = tmp_path_factory.mktemp('dist')
    run(sys.executable, '-m', 'build', '--outdir', out, cwd=source)
    wheel, = out.glob('*.whl')
    sdist, = out.glob('*.tar.gz')
    return dict(wheel=wheel, sdist=sdist)


def make_environment(folder, installer, package):
    """A new environment with torch and then the package in it."""
    python = folder / 'bin' / 'python'
    if installer == 'pip':
        run(sys.executable, '-m', 'venv', folder)
        install = [python, '-m', 'pip', 'install']
    else:
        uv = shutil.which('uv')
        if uv is None:
            pytest.skip('uv is not installed')
        run(uv, 'venv', '--python', sys.executable, folder)
        install = [uv, 'pip', 'install', '--python', python]
    run(*install, f'torch=={TORCH}')
    # uv takes a pre-release only of what is named, as the docs say.
    more = [] if installer == 'pip' else ['mmengine>=0.11.0rc3']
    run(*install, package, *more)
    return python


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'installer'), [('wheel', 'pip'),
                                                 ('sdist', 'uv')])
def test_an_empty_environment_can_fold(built, tmp_path, kind, installer):
    python = make_environment(tmp_path / 'env', installer, built[kind])
    command = python.with_name('yolo-world-rep')
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    model = randomize(build_detector('text'))
    state = {k: v for k, v in model.state_dict().items() if k != 'embeddings'}
    torch.save(dict(state_dict=state, meta={}), elsewhere / 'text.pth')
    width = model.bbox_head.head_module.embed_dims
    np.save(elsewhere / 'names.npy', np.eye(3, width, dtype=np.float32))

    assert 'reparameterize' in run(command, '--help', cwd=elsewhere)
    assert yolo_world_rep.__version__ in run(
        command, '--version', cwd=elsewhere)
    assert 'text-conditioned' in run(
        command, 'inspect', 'text.pth', cwd=elsewhere)
    run(command, 'reparameterize', '--model', 'text.pth', '--text-embed',
        'names.npy', '--out-dir', '.', cwd=elsewhere)
    assert 'rep_conv' in run(
        command, 'inspect', 'text_rep_conv.pth', cwd=elsewhere)
    run(python, '-c', LOOK, cwd=elsewhere)
