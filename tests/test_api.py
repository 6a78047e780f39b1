"""A model as one object, as a user meets it."""
import http.server
import io
import json
import shutil
import subprocess
import sys
import threading
from functools import partial

import cv2
import numpy as np
import own_data
import pytest
import torch
from builders import build_detector, randomize, text_state
from PIL import Image
from tiny_deploy import SMALL
from tiny_exports import save_brightness

from yolo_world_rep import YOLOWorld
from yolo_world_rep.inference import Predictor
from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import WordEncoder, save_embeddings

WORDS = ('cat', 'dog')
ANY = dict(score=0., image_size=(64, 96))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A text-conditioned checkpoint, and an image that no scaling changes."""
    folder = tmp_path_factory.mktemp('api')
    model = randomize(build_detector('text', **SMALL))
    torch.save(dict(state_dict=text_state(model)), folder / 'world.pth')
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / 'image.png'),
                rng.integers(0, 256, (60, 90, 3), np.uint8))
    return folder


@pytest.fixture(scope='module')
def world(folder):
    return YOLOWorld(folder / 'world.pth')


@pytest.fixture(scope='module')
def pets(world):
    return world.fold(WORDS, encoder='words')


@pytest.fixture(scope='module')
def image(folder):
    return cv2.imread(str(folder / 'image.png'))


def same(found, expected):
    assert len(expected)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_three_lines_are_what_the_commands_do(folder, pets, image):
    """Fold to a file and detect with it, against the object."""
    path = convert_checkpoint(
        folder / 'world.pth', None, folder, 'rep_conv', words=WORDS,
        encoder='words').path
    with Predictor(path, score_threshold=0., image_size=(64, 96)) as predictor:
        expected, = predictor.predict(image)
    same(pets.predict(image, **ANY), expected)
    same(YOLOWorld(path).predict(folder / 'image.png', **ANY), expected)
    assert pets.classes == YOLOWorld(path).classes == WORDS


def test_a_text_conditioned_model_asks_for_its_words(world, image):
    assert world.classes == ()
    with pytest.raises(ValueError, match=r'fold\(\["cat", "dog"\]\)'):
        world.predict(image)


@pytest.mark.parametrize('form', [
    'array', 'rgb', 'rgba', 'pillow', 'bytes', 'tensor', 'floats', 'bgr',
    'path'])
def test_an_image_in_any_form_is_the_same_image(folder, pets, image, form):
    red = np.ascontiguousarray(image[..., ::-1])
    planes = torch.from_numpy(red).permute(2, 0, 1)
    given, settings = dict(
        array=(image, {}),
        rgb=(red, dict(color='rgb')),
        rgba=(np.dstack([red, red[..., 0]]), dict(color='rgb')),
        pillow=(Image.fromarray(red), {}),
        bytes=((folder / 'image.png').read_bytes(), {}),
        tensor=(planes, {}),
        floats=(planes / 255, {}),
        bgr=(planes.flip(0), dict(color='bgr')),
        path=(folder / 'image.png', {}))[form]
    same(pets.predict(given, **ANY, **settings), pets.predict(image, **ANY))


def test_an_image_at_an_address(folder, pets, image):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}'
    try:
        same(pets.predict(f'{address}/image.png', **ANY),
             pets.predict(image, **ANY))
        with pytest.raises(ValueError, match=r'none.png: cannot be fetched'):
            pets.predict(f'{address}/none.png')
        with pytest.raises(ValueError, match='not an image'):
            pets.predict(f'{address}/world.pth')
    finally:
        server.shutdown()
        server.server_close()


def test_one_gives_one_and_several_a_list(tmp_path, folder, pets, image):
    assert pets.predict(image).shape == (60, 90)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    for count, several in (
            (1, [image]), (2, np.stack([image, image])), (1, tmp_path),
            (2, [str(folder / 'image.png'), tmp_path]),
            (2, torch.zeros(2, 3, 64, 96))):
        found = pets.predict(several, **ANY)
        assert isinstance(found, list)
        assert len(found) == count


@pytest.mark.parametrize(('given', 'settings', 'message'), [
    ('none.png', {}, 'no such file'),
    (b'no image', {}, 'not an image'),
    (torch.zeros(4, 9, 9), {}, r'expected \(3, height, width\)'),
    (torch.full((3, 9, 9), 200.), {}, 'floats of 0 to 1'),
    (np.zeros((9, 9, 3), np.uint8), dict(color='hsv'), 'bgr'),
    (np.zeros((9, 9, 3), np.uint8), dict(only=['cta']), 'Did you mean'),
    (7, {}, 'an image is a path')])
def test_what_is_no_image_is_refused(pets, given, settings, message):
    with pytest.raises(ValueError, match=message):
        pets.predict(given, **settings)


def test_only_some_classes(pets, image):
    found = pets.predict(image, only=['dog'], **ANY)
    assert set(found.label_names) == {'dog'}


def test_embeddings_in_place_of_words(tmp_path, world, pets, image):
    vectors = WordEncoder(32).encode(WORDS)
    padded = WordEncoder(32).encode((*WORDS, ' '))
    path = tmp_path / 'pets.npy'
    save_embeddings(path, vectors, WORDS)
    save_embeddings(tmp_path / 'pets_padded.npy', padded, (*WORDS, ' '))
    expected = pets.predict(image, **ANY)
    same(world.fold(embeddings=path, pad=True).predict(image, **ANY), expected)
    bare = world.fold(embeddings=path).predict(image, **ANY)
    assert not np.array_equal(bare.scores, expected.scores)
    same(world.fold(WORDS, embeddings=vectors).predict(image, **ANY), bare)
    neck = world.fold(WORDS, encoder='words', neck=path)
    same(neck.predict(image, **ANY), bare)
    with pytest.raises(ValueError, match='names 1 classes'):
        world.fold(['cat'], embeddings=vectors)
    with pytest.raises(ValueError, match=r'edit\(replace='):
        pets.fold(WORDS)
    long = 9 * vectors
    with pytest.raises(ValueError, match='norms of 9 to 9'):
        world.fold(WORDS, embeddings=long)
    same(world.fold(WORDS, embeddings=long, norms='normalize').predict(
        image, **ANY), bare)


def test_other_classes_are_another_object(world, pets, image):
    before = {key: value.clone()
              for key, value in pets._checkpoint.state_dict.items()}
    more = pets.edit(add=['bird'], encoder='words')
    assert more.classes == (*WORDS, 'bird')
    same(more.predict(image, **ANY), world.fold(
        [*WORDS, 'bird'], encoder='words').predict(image, **ANY))
    assert more.edit(keep=['dog']).classes == ('dog', )
    assert pets.classes == WORDS
    for key, value in pets._checkpoint.state_dict.items():
        assert torch.equal(value, before[key])


def test_what_is_saved_is_the_model(tmp_path, pets, image):
    for name in ('pets.pth', 'pets.safetensors'):
        path = pets.save(tmp_path / name)
        same(YOLOWorld(path).predict(image, **ANY),
             pets.predict(image, **ANY))
        with pytest.raises(ValueError, match='exists'):
            pets.save(path)
    with pytest.raises(ValueError, match='.pth or .safetensors'):
        pets.save(tmp_path / 'pets.onnx')


def test_an_exported_file_is_a_model_too(tmp_path, pets, image):
    exported = pets.export('torchscript', tmp_path, image_size=(64, 96))
    assert exported.path == tmp_path / 'world_rep_conv.torchscript'
    assert exported.classes == WORDS
    found, expected = (each.predict(image, **ANY)
                       for each in (exported, pets))
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    with pytest.raises(ValueError, match='exported from'):
        exported.edit(keep=['dog'])
    rows = pets.benchmark(exported, rounds=1, warm_up=0, image_size=(64, 96))
    assert [row.runtime for row in rows] == ['PyTorch', 'TorchScript']


def test_evaluation(tmp_path, pets, image):
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    boxes = [dict(id=1, image_id=1, category_id=5, bbox=[1, 1, 50, 50],
                  area=2500, iscrowd=0)]
    (tmp_path / 'a.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png', width=90, height=60)],
        annotations=boxes,
        categories=[dict(id=3, name='dog'), dict(id=5, name='cat')])))
    scores = pets.evaluate(tmp_path / 'a.json', tmp_path, per_class=True,
                           image_size=(64, 96))
    assert scores['images'] == 1
    assert set(scores['per_class']) == set(WORDS)
    for split in ('train', 'val'):
        shutil.copyfile(tmp_path / 'a.json', tmp_path / f'{split}.json')
    (tmp_path / 'a.json').unlink()
    found = pets.evaluate(tmp_path, image_size=(64, 96))
    assert found['AP'] == scores['AP']


def test_what_it_is_said_to_be(tmp_path, folder, world, pets):
    assert repr(world).startswith("YOLOWorld('world.pth': text-conditioned")
    assert repr(pets).endswith('classes 2: cat, dog)')
    assert pets.info()['class_names'] == list(WORDS)
    assert 'file' not in pets.info()  # it is in memory
    assert world.info()['file'] == str(folder / 'world.pth')
    html = world.fold(['<b>'], encoder='words')._repr_html_()
    assert '&lt;b&gt;' in html
    exported = YOLOWorld(save_brightness(tmp_path))
    assert "brightness.torchscript': exported, for TorchScript" in repr(
        exported)
    assert exported.info()['image_size'] == (64, 96)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no such file'):
        YOLOWorld(tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='mean yolo-world-v2-s'):
        YOLOWorld('yolo-world-v2-ss')
    for name in ('a.py', 'a.jpg'):
        (tmp_path / name).write_text('')
        with pytest.raises(ValueError, match='expected a checkpoint or'):
            YOLOWorld(tmp_path / name)


def test_an_exported_file_loads_no_torch():
    """The name is there without it, and an ONNX file runs without it."""
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\nfrom yolo_world_rep import '
         'YOLOWorld\nprint(sorted({"torch", "mmengine"} & set(sys.modules)))'],
        capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_pictures_of_what_came_as_bytes(pets, image):
    buffer = io.BytesIO()
    Image.fromarray(image[..., ::-1]).save(buffer, 'PNG')
    found = pets.predict(buffer.getvalue(), **ANY)
    np.testing.assert_array_equal(found.image, image)


def test_training_gives_a_model_and_its_report(tmp_path):
    """From words and data, of which neither is changed."""
    own_data.write_data(tmp_path / 'data')
    model = randomize(build_detector('text', **own_data.SMALL))
    torch.save(dict(state_dict=text_state(model)), tmp_path / 'world.pth')
    tuned, report, scores = YOLOWorld(tmp_path / 'world.pth').train(
        tmp_path / 'data', work_dir=tmp_path / 'run', encoder='words',
        epochs=1, image_size=(64, 96), batch_size=2, workers=0)
    assert tuned.classes == own_data.NAMES
    assert tuned._backend.spec.image_size == (64, 96)
    assert report.is_file()
    assert set(scores) >= {'AP', 'AP50'}
    pictures = sorted((tmp_path / 'data' / 'val').rglob('*.jpg'))
    assert len(tuned.predict(pictures)) == 2
