"""Models by name, from a hub on the loopback; the real one was never asked."""
import io
import os
import subprocess
import sys

import huggingface_hub
import pytest
import torch
from builders import build_detector, randomize
from hub_server import serving
from huggingface_hub import file_download
from tiny_deploy import SMALL

from yolo_world_rep.utils import public_models
from yolo_world_rep.utils.public_models import fetch, path_of
from yolo_world_rep_cli.main import main

NAME = 'yolo-world-v2-s'
FILE = 'yolo_world_v2_s_obj365v1_goldg_pretrain-55b943ea.pth'
PATH = f'/wondervictor/YOLO-World/resolve/main/{FILE}'
BY_HAND = f'Fetch https://huggingface.co{PATH} on a machine'


def checkpoint():
    model = randomize(build_detector('text', **SMALL)).state_dict()
    del model['embeddings']
    file = io.BytesIO()
    torch.save(dict(state_dict=model, meta={}), file)
    return file.getvalue()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """One that has S, for a library with an empty cache."""
    monkeypatch.chdir(tmp_path)
    with serving({PATH: checkpoint()}) as server:
        for name, value in (
                ('ENDPOINT', server.address),
                ('HF_HUB_CACHE', str(tmp_path / 'cache')),
                ('HUGGINGFACE_CO_URL_TEMPLATE', server.address
                 + '/{repo_id}/resolve/{revision}/{filename}')):
            # As HF_ENDPOINT and HF_HOME say when the library is imported;
            # older versions have copies.
            for module in (huggingface_hub.constants, file_download):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, value)
        yield server


@pytest.fixture
def command(capsys):
    """Run a command line: exit status, output, errors."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(list(words))
        return (end.value.code or 0, *capsys.readouterr())

    return run


def cached(folder):
    return list((folder / 'cache').rglob('*.pth'))


def test_downloaded_once(hub, tmp_path, command):
    status, out, _ = command('download', NAME)
    assert status == 0
    path, = cached(tmp_path)
    assert out == f'{path}\n'
    assert path.read_bytes() == hub.files[PATH]
    assert {f'HEAD {PATH}', f'GET {PATH}'} <= {*hub.asked}
    hub.shutdown()
    hub.asked.clear()
    assert fetch(NAME) == path_of(NAME) == path
    assert hub.asked == []


def test_folded_by_its_name(hub, tmp_path, command):
    """The result is named so, and lies here and not in the cache."""
    status, out, err = command('fold', NAME, '--words', 'cat', 'dog',
                               '--encoder', 'words')
    assert status == 0, err
    assert (tmp_path / f'{NAME}_rep_conv.pth').is_file()
    status, out, _ = command('inspect', NAME)
    assert status == 0
    assert 'text-conditioned' in out


@pytest.mark.parametrize(('spoil', 'message'), [
    (lambda hub: setattr(hub, 'cut', 100), 'Consistency check failed'),
    (lambda hub: setattr(hub, 'lie', True), 'arrived damaged'),
    (lambda hub: hub.files.clear(), '404'),
], ids=['cut off', 'another hash', 'gone'])
def test_what_arrives_otherwise_is_refused(hub, tmp_path, command, spoil,
                                           message):
    files = dict(hub.files)
    spoil(hub)
    status, out, err = command('download', NAME)
    assert (status, out) == (2, '')
    line = err.splitlines()[-1]
    assert line.startswith(f'error: {NAME}')
    assert message in line
    assert cached(tmp_path) == []
    hub.cut, hub.lie, hub.files = 0, False, files
    assert fetch(NAME).read_bytes() == files[PATH]


def test_without_network_one_line(tmp_path):
    """As a user has it: the mirror in the environment, and none there."""
    environment = dict(os.environ, HF_ENDPOINT='http://127.0.0.1:9',
                       HF_HOME=str(tmp_path))
    for more, reason in (({}, 'Connection refused'),
                         ({'HF_HUB_OFFLINE': '1'}, 'offline')):
        done = subprocess.run(
            [sys.executable, '-m', 'yolo_world_rep_cli', 'inspect', NAME],
            cwd=tmp_path, text=True, capture_output=True,
            env={**environment, **more})
        assert done.returncode == 2
        *before, line = done.stderr.splitlines()
        # Older versions of the library say how often they try.
        assert not before or huggingface_hub.__version__ < '1'
        assert line.startswith(f'error: {NAME} was not downloaded')
        assert reason in line or before
        assert BY_HAND in line


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ImportError, match=r'"yolo_world_rep\[hub\]"') as no:
        fetch(NAME)
    assert BY_HAND in str(no.value)


def test_names_and_files(hub, tmp_path):
    assert str(path_of('no/such.pth')) == 'no/such.pth'
    assert str(path_of('yolo_world_v2_s.pth')) == 'yolo_world_v2_s.pth'
    (tmp_path / NAME).write_bytes(b'mine')
    assert str(path_of(NAME)) == NAME
    assert hub.asked == []
    for name, near in (('yolo-world-v2.1-xs', 'Did you mean yolo-world-v2.1-'),
                       ('YOLO-World-v2-M', 'Did you mean yolo-world-v2-m?')):
        with pytest.raises(ValueError, match=near):
            path_of(name)
    with pytest.raises(ValueError, match='a family that this package cannot'):
        path_of('dosod-s')


def test_the_list(command, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    status, out, _ = command('download', '--list')
    assert status == 0
    rows = {line.split()[1]: line for line in out.splitlines()
            if line.startswith('│')}
    assert rows.keys() == public_models.public_models().keys()
    assert 'not yet' in rows['dosod-s']
    assert 'with config' in rows['yolo-world-v1-s']
    assert 'wondervictor/YOLO-World-V2.1 (licence: GPL-3.0)' in out


def test_the_table_needs_nothing():
    code = ('import sys; from yolo_world_rep.utils import public_models as p; '
            'p.public_models(); print([n for n in ("torch", "numpy", "rich", '
            '"huggingface_hub") if n in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], text=True,
                          capture_output=True, check=True)
    assert done.stdout == '[]\n'
