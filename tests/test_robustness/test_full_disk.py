"""A full disk, or a death at any moment: a line, and nothing half-written."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hostile_checkpoints import NAMES, text_conditioned, texts
from tiny_deploy import write_files
from tiny_exports import SIZE, save_brightness

from yolo_world_rep.deploy.formats import publish
from yolo_world_rep.inference.results import Result
from yolo_world_rep.inference.seal import BLANK, find_weights, seal
from yolo_world_rep.inference.writing import Writer
from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import save_embeddings
from yolo_world_rep.utils.files import atomic_path, write_together

pytest.importorskip('resource', reason='of Unix')
LIMITED = (
    'import resource, sys\n'
    'from yolo_world_rep_cli.main import main\n'
    'import yolo_world_rep.models\n'  # torch 2.1 writes when it is imported
    'hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n'
    'resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))\n'
    'main(sys.argv[2:])')


def without_room(size, line, folder):
    """A command of which no file may grow beyond so many bytes.

    In a process of its own: what libraries do without room may show later.
    """
    done = subprocess.run(
        [sys.executable, '-c', LIMITED, str(size), *line.split()],
        cwd=folder, capture_output=True, text=True)
    return done.returncode, [each for each in done.stderr.splitlines()
                             if each.startswith('error: ')]


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    """What the commands read."""
    folder = tmp_path_factory.mktemp('sound')
    torch.save(dict(state_dict=text_conditioned(), meta={}), folder / 'm.pth')
    save_embeddings(folder / 'e.npy', texts(), NAMES)
    save_embeddings(folder / 'n.npy', texts(1, 9), ['owl'])
    convert_checkpoint(folder / 'm.pth', folder / 'e.npy',
                       folder / 'made').path.rename(folder / 'f.pth')
    (folder / 't.txt').write_text('owl\ncat')
    save_brightness(folder).rename(folder / 'b.torchscript')
    write_files(folder)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    cv2.imwrite(str(folder / 'i.png'), noise)
    (folder / 'a.json').write_text(
        '{"images": [{"id": 1, "file_name": "i.png"}], "annotations": [], '
        '"categories": [{"id": 1, "name": "dark"}, {"id": 2, "name": "grey"},'
        ' {"id": 3, "name": "bright"}]}')
    return folder


COMMANDS = {
    'reparameterize --model m.pth --text-embed e.npy --out-dir o':
    'o/m_rep_conv.pth',
    'edit f.pth --add n.npy --out o/x.pth': 'o/x.pth',
    'interpolate f.pth f.pth --alpha 0.5 --out o/x.pth': 'o/x.pth',
    'export tiny.py tiny.pth --format torchscript --out o':
    'o/tiny.torchscript',
    'export tiny.py tiny.pth --format onnx --out o': 'o/tiny.onnx',
    'export tiny.py tiny.pth --format openvino --out o': 'o/tiny.xml',
    'embed --text t.txt --encoder words --dim 999 --pad --out o/x.npy':
    'o/x.npy',
    'predict b.torchscript i.png --save-dir o/p --txt o/t --json o/r.json':
    'o/p/i.jpg',
    'migrate-config tiny.py --out o/x.py': 'o/x.py',
}


@pytest.mark.parametrize('line', COMMANDS)
def test_a_command_without_room(line, sound):
    if '--format o' in line:
        pytest.importorskip('onnxscript', reason='no onnx to write with')
    if 'openvino' in line:
        pytest.importorskip('openvino')
    before = sorted(sound.iterdir())
    # mmengine copies a config that it reads.
    room = 9999 if 'export' in line else 600
    assert without_room(room, line, sound) == (
        2, [f'error: File too large: {COMMANDS[line]} was not written.'])
    assert sorted(sound.iterdir()) == before


def test_the_figures_of_an_evaluation(sound):
    status, lines = without_room(
        20, 'evaluate b.torchscript a.json . --json-out x.json', sound)
    assert status == 2
    assert len(lines) == 1
    assert 'x.json was not written' in lines[0]
    assert not (sound / 'x.json').exists()


def test_a_full_disk_is_called_so(tmp_path):
    with pytest.raises(OSError, match='^No space left on device: .*x.npy was '
                       'not written. Make room there'):
        with atomic_path(tmp_path / 'x.npy'):
            raise OSError(28, os.strerror(28))
    assert not list(tmp_path.iterdir())


def test_errors_about_other_files_stay(tmp_path):
    with pytest.raises(FileNotFoundError, match='other.json'):
        with atomic_path(tmp_path / 'x.npy'):
            (tmp_path / 'other.json').read_bytes()


def test_all_files_or_none(tmp_path, monkeypatch):
    (tmp_path / 'b').write_bytes(b'old')
    write = Path.write_bytes

    def small(path, data):
        if len(data) > 20:
            raise OSError(28, 'No space left on device')
        return write(path, data)

    monkeypatch.setattr(Path, 'write_bytes', small)
    with pytest.raises(OSError, match='b was not written'):
        write_together({tmp_path / 'a': b'new', tmp_path / 'b': b'n' * 99})
    assert [path.name for path in tmp_path.iterdir()] == ['b']
    assert (tmp_path / 'b').read_bytes() == b'old'


def test_a_writer_takes_back_what_is_new(tmp_path):
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'old.jpg').write_bytes(b'old')
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    nothing = Result(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ('a', ),
                     (64, 96), pixels=pixels)


    def write():
        with Writer(tmp_path / 'p', tmp_path / 't' / 'u',
                    tmp_path / 'r.json') as writer:
            writer.add(nothing)
            assert len(list(tmp_path.rglob('*.txt'))) == 1
            raise ValueError('no numbers')

    with pytest.raises(ValueError, match='no numbers'):
        write()
    assert sorted(path.name for path in tmp_path.rglob('*')) == [
        'old.jpg', 'p']


def pair(folder, content):
    """An .xml with the checksum of a .bin, as an export has them."""
    folder.mkdir(exist_ok=True)
    (folder / 'm.xml').write_text(f'<net>{content} {BLANK}</net>')
    (folder / 'm.bin').write_text(content)
    return folder / 'm.xml'


def died_at(step, work):
    """Do it in another process, which dies at its so-manieth rename."""
    child = os.fork()
    if not child:
        real, count = os.replace, iter(range(99))

        def replace(*names):
            if next(count) == step:
                os._exit(9)
            real(*names)

        os.replace = replace
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize('step', range(4))
@pytest.mark.parametrize('older', [True, False])
def test_a_death_between_renames_leaves_one_export(step, older, tmp_path):
    place = tmp_path / 'out' / 'm.xml'
    place.parent.mkdir()
    if older:
        publish(pair(tmp_path / 'a', 'older'), place)
    written = pair(tmp_path / 'b', 'newer')
    died = died_at(step, lambda: publish(written, place))
    assert died == (step < 3)
    if place.exists():
        found = find_weights(place).read_text()
        assert found in place.read_text()
        assert found == ('newer' if step > 1 else 'older')
    else:
        assert not older
        assert step < 2
    # The next export finds and leaves nothing of it.
    publish(pair(tmp_path / 'c', 'newest'), place)
    assert find_weights(place) == place.with_suffix('.bin')
    assert sorted(path.name for path in place.parent.iterdir()) == [
        'm.bin', 'm.xml']


def test_a_failing_rename_leaves_nothing_that_waits(tmp_path, monkeypatch):
    place = tmp_path / 'out' / 'm.xml'
    place.mkdir(parents=True)  # a folder, which no file takes the place of
    with pytest.raises(OSError, match=r'm\.xml'):
        publish(pair(tmp_path / 'a', 'newer'), place)
    assert [path.name for path in place.parent.iterdir()] == ['m.xml']


def test_openvino_opens_what_waits(sound, tmp_path):
    """The pair is of one export for the runtime, too."""
    pytest.importorskip('onnxscript', reason='no onnx to write with')
    pytest.importorskip('openvino')
    from yolo_world_rep.deploy.export import export_model
    from yolo_world_rep.inference import open_backend
    path = export_model(sound / 'tiny.py', sound / 'tiny.pth', tmp_path,
                        'openvino').path
    images = np.random.default_rng(0).random((1, 3, *SIZE), np.float32)
    with open_backend(path) as backend:
        expected = backend.run(images)
    os.replace(tmp_path / 'tiny.bin', tmp_path / '.tiny.new.bin')
    shutil.copy(sound / 'i.png', tmp_path / 'tiny.bin')  # another export's
    with open_backend(path) as backend:
        for one, other in zip(backend.run(images), expected):
            np.testing.assert_array_equal(one, other)
    Path(tmp_path / '.tiny.new.bin').unlink()
    with pytest.raises(ValueError, match='checksum'):
        open_backend(path)


def test_a_seal_is_of_both(tmp_path):
    path = pair(tmp_path, 'some')
    seal([path, path.with_suffix('.bin')])
    path.with_suffix('.bin').write_text('other')
    with pytest.raises(ValueError, match='checksum'):
        find_weights(path)
