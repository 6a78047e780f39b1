"""Everything ends: nothing waits for a pipe, a network or a thread."""
import io
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_exports import SIZE, save_brightness

from yolo_world_rep.config.migration import migrate_config
from yolo_world_rep.datasets.annotations import read_content
from yolo_world_rep.inference import Predictor, open_backend
from yolo_world_rep.inference.images import read_image
from yolo_world_rep.inference.sources import count_images, find_files, frames
from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep.text import load_class_texts, load_embeddings
from yolo_world_rep_cli.commands import COMMANDS
from yolo_world_rep_cli.main import main

READERS = {
    'x.png': read_image,
    'x.mp4': lambda path: list(frames(path)),
    'y.mp4': lambda path: count_images([path]),
    'x.json': load_class_texts,
    'x.txt': load_class_texts,
    'x.npy': load_embeddings,
    'y.json': read_content,
    'x.pth': load_checkpoint,
    'x.onnx': open_backend,
    'x.xml': open_backend,
    'x.torchscript': open_backend,
    'x.py': lambda path: migrate_config(path, path.with_name('new.py')),
    'z.png': lambda path: find_files([str(path)]),
}


@pytest.fixture
def pipe(tmp_path):
    """Makes a pipe of a name; nobody ever writes to it."""

    def make(name):
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((*SIZE, 3), 200, np.uint8))
    return path


@pytest.mark.parametrize('name', READERS)
def test_no_reader_waits_for_a_pipe(name, pipe):
    path = pipe(name)
    with pytest.raises(ValueError, match=f'{name}.* (is a pipe|not a file)'):
        READERS[name](path)


def test_names_beside_embeddings_and_weights_beside_a_model(pipe, tmp_path):
    np.save(tmp_path / 'e.npy', np.ones((2, 4), np.float32))
    pipe('e.json')
    with pytest.raises(ValueError, match='e.json is a pipe'):
        load_embeddings(tmp_path / 'e.npy')
    pytest.importorskip('openvino')
    (tmp_path / 'm.xml').write_text('<net/>')
    pipe('m.bin')
    with pytest.raises(ValueError, match='m.bin is a pipe'):
        open_backend(tmp_path / 'm.xml')


@pytest.mark.parametrize('words', [
    ['inspect', 'x'],
    ['reparameterize', '--model', 'm', '--text-embed', 'x', '--out-dir', 'o'],
    ['edit', 'x', '--keep', 'a', '--out', 'o.pth'],
    ['interpolate', 'x', 'x', '--alpha', '0.5', '--out', 'o.pth'],
    ['convert-ultralytics', '--model', 'x', '--out', 'o.pth'],
    ['embed', '--encoder', 'words', '--text', 'x', '--out', 'o.npy'],
    ['predict', 'b.torchscript', 'x'],
    ['evaluate', 'b.torchscript', 'x', '.'],
    ['evaluate', 'x.onnx', 'a.json', '.'],
    ['export', 'x.py', 'm.pth'],
    ['migrate-config', 'x.py', '--out', 'o.py'],
    ['new-config', '--data', '.', '--train-ann', 'x', '--val-ann', 'x',
     '--checkpoint', 'm.pth', '--out', 'o.py'],
    ['test', 'x.py', 'm.pth'],
    ['train', 'x.py'],
], ids=lambda words: words[0])
def test_a_pipe_given_to_a_command(words, pipe, tmp_path, monkeypatch,
                                   capsys):
    assert words[0] in COMMANDS or words[0].replace('-', '_') in COMMANDS or [
        each for each in COMMANDS.values() if each.name == words[0]]
    save_brightness(tmp_path).rename(tmp_path / 'b.torchscript')
    (tmp_path / 'a.json').write_text(json.dumps(
        dict(images=[], annotations=[], categories=[])))
    pipe(next(word for word in words if word.startswith('x')))
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(('line', 'says'), [
    (b'http://example.org/a.png', 'line 2, .*example.org.*, is a URL'),
    (b'rtsp://example.org/a.mp4', 'line 2, .*example.org.*, is a URL'),
    (b'caf\xe9.png', 'line 2, .*udce9.*, is not UTF-8'),
    (b'pipe.png', 'pipe.png is a pipe'),
])
def test_a_line_that_is_no_file(line, says, pipe, image):
    os.chdir(pipe('pipe.png').parent)
    stream = io.TextIOWrapper(
        io.BytesIO(b'image.png\n' + line + b'\n'), errors='surrogateescape')
    with pytest.raises(ValueError, match=says):
        find_files(['-'], stream)


def test_a_name_that_is_not_utf_8_and_there(tmp_path, image):
    path = tmp_path / os.fsdecode(b'caf\xe9.png')
    try:
        image.rename(path)
    except OSError:
        pytest.skip('the file system takes UTF-8 alone')
    stream = io.TextIOWrapper(
        io.BytesIO(os.fsencode(path)), errors='surrogateescape')
    assert find_files(['-'], stream) == [path]
    assert read_image(path).shape == (*SIZE, 3)


def test_a_url_is_never_opened(monkeypatch):
    """OpenCV would connect to a server, and wait for it."""
    opened = []
    monkeypatch.setattr(cv2, 'VideoCapture', opened.append)
    with pytest.raises(AttributeError):  # None has no frames
        list(frames(Path('tcp://127.0.0.1:9/a.mp4')))
    assert opened == [os.path.abspath('tcp:/127.0.0.1:9/a.mp4')]


def predict_in(predictor, image, results):
    try:
        predictor.predict(image)
        results.put('worked')
    except ValueError as error:
        results.put(str(error))


def test_a_forked_process_is_refused(tmp_path, image):
    """Its threads are not there, and it would wait for them."""
    fork = multiprocessing.get_context('fork')
    results = fork.SimpleQueue()
    with Predictor(save_brightness(tmp_path)) as predictor:
        assert len(predictor.predict(image)[0]) == 1
        process = fork.Process(
            target=predict_in, args=(predictor, image, results))
        process.start()
        process.join(60)
        process.kill()
        said = results.get()
        assert 'was opened in process' in said
        assert 'spawn' in said
        assert len(predictor.predict(image)[0]) == 1


@pytest.fixture
def exported(tmp_path):
    """An .xml of OpenVINO."""
    openvino = pytest.importorskip('openvino')
    from tiny_exports import Brightness, brightness_spec

    from yolo_world_rep.inference.spec import METADATA_KEY
    model = openvino.convert_model(
        Brightness(), example_input=np.zeros((1, 3, *SIZE), np.float32))
    model.set_rt_info(brightness_spec(batch=1).to_json(), METADATA_KEY)
    openvino.save_model(model, tmp_path / 'b.xml')
    return tmp_path / 'b.xml'


def test_openvino_has_run_before_threads_come(exported):
    """Two that come first together wait for each other within it."""
    with open_backend(exported) as backend:
        assert backend._requests.qsize() == 1


FREED_ELSEWHERE = """
import gc, signal, subprocess, sys, threading
from yolo_world_rep.inference.backends import open_backend
held = [open_backend(sys.argv[1])]

def free():
    held.pop().close()
    gc.collect()

thread = threading.Thread(target=free)
thread.start()
thread.join()
signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's data loaders do
subprocess.run([sys.executable, '-c', ''])
print('still here')
"""


def test_a_model_that_another_thread_frees_does_not_end_the_process(exported):
    """OpenVINO would free a stack for signals that the first one still has."""
    done = subprocess.run(
        [sys.executable, '-c', FREED_ELSEWHERE, str(exported)],
        capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, 'still here\n'), done.stderr


def test_names_of_bytes_on_standard_input(tmp_path):
    """Through the command, whose stream is the system's."""
    save_brightness(tmp_path)
    done = subprocess.run(
        [sys.executable, '-m', 'yolo_world_rep_cli', 'predict',
         'brightness.torchscript', '-'], cwd=tmp_path, input=b'\xff.png\n',
        capture_output=True, timeout=300,
        # mmdet's sources warn when they are compiled for the first time.
        env={**os.environ, 'PYTHONUTF8': '1', 'PYTHONWARNINGS': 'ignore'})
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "error: source -: line 1, '\\udcff.png', is not UTF-8; expected the "
        "path of a file."]
