import copy
import json
import threading
import time

import cv2
import numpy as np
import pytest
import torch
from builders import encoder_detector_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from yolo_world_rep.inference import Backend, Predictor, Spec
from yolo_world_rep.inference.sources import Item
from yolo_world_rep.text import save_embeddings

SIZE = (64, 96)


def picture(shape, seed=0):
    return np.random.RandomState(seed).randint(
        0, 256, (*shape, 3), dtype=np.uint8)


class Mean(Backend):
    """Finds one box in each image: its mean colour says which class."""
    name = 'test'

    def __init__(self, delay=lambda: 0, concurrency=1, **changes):
        super().__init__(
            Spec(
                **dict(
                    dict(
                        classes=tuple(str(i) for i in range(256)),
                        image_size=SIZE,
                        batch=None,
                        mean=(0, 0, 0),
                        std=(1, 1, 1),
                        pad_value=0,
                        resize='letter'), **changes)), 'mean.test')
        self.delay, self.concurrency = delay, concurrency
        self.sizes, self.running, self.most = [], 0, 0
        self.lock = threading.Lock()

    def _run(self, images):
        with self.lock:
            self.sizes.append(len(images))
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.delay())
        boxes = np.tile(np.array([0, 0, 96, 64], 'f4'), (len(images), 1, 1))
        scores = np.zeros((len(images), 1, 256), 'f4')
        for row, image in zip(scores[:, 0], images):
            row[int(image.max())] = 0.9
        with self.lock:
            self.running -= 1
        return boxes, scores


def flat(value, shape=SIZE):
    return np.full((*shape, 3), value, np.uint8)


def found(results):
    return [result.labels.tolist() for result in results]


@pytest.mark.parametrize('form', ['rep_conv', 'text'])
def test_detections_are_those_of_the_models_own_pipeline(
        trained, tmp_path, form):
    config, checkpoint, model = trained(form)
    init_default_scope('mmyolo')
    cfg = Config.fromfile(config)
    steps = copy.deepcopy(list(cfg.test_dataloader.dataset.pipeline))
    steps[-1]['meta_keys'] = ('ori_shape', 'img_shape', 'scale_factor',
                              'pad_param')
    pipeline = Compose(steps)
    paths = []
    for index, shape in enumerate([(50, 70), (200, 131), (64, 96)]):
        paths.append(tmp_path / f'{index}.png')
        cv2.imwrite(str(paths[-1]), picture(shape, index))
    with torch.no_grad():
        expected = model.test_step(
            pseudo_collate([
                pipeline(dict(img_path=str(path), img_id=0))
                for path in paths
            ]))
    with Predictor(config, checkpoint, batch_size=2) as predictor:
        results = predictor.predict(paths)
    for result, sample in zip(results, expected):
        instances = sample.pred_instances
        count = len(instances.scores)
        assert len(result) == count > 20
        np.testing.assert_allclose(
            result.scores, instances.scores.numpy(), atol=1e-5)
        # Equal scores, to rounding, may change places.
        same = (result.labels == instances.labels.numpy())
        assert same.mean() > 0.95
        np.testing.assert_allclose(
            result.boxes[same],
            instances.bboxes.numpy()[same],
            atol=0.05,
            rtol=0)


@pytest.fixture
def with_encoder(trained, tmp_path):
    """A model with a text encoder, and what it must detect: ``dog, cat``."""
    table = tmp_path / 'table.npy'
    vectors = np.random.default_rng(0).normal(size=(3, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors.astype('f4')
    save_embeddings(table, vectors, ['cat', 'bird', 'dog'])
    config, checkpoint, model = trained('text', num_classes=2)
    model.embeddings.data.copy_(torch.from_numpy(vectors[[2, 0]]))
    cfg = Config.fromfile(config)
    cfg.model = encoder_detector_cfg(
        table, data_preprocessor=cfg.model.data_preprocessor)
    dataset = cfg.test_dataloader.dataset
    dataset.metainfo = None
    dataset.class_text_path = str(tmp_path / 'texts.json')
    (tmp_path / 'texts.json').write_text(
        json.dumps([['dog', 'a dog'], ['cat']]))
    cfg.dump(config)
    state = model.state_dict()
    del state['embeddings']
    torch.save(dict(state_dict=state), checkpoint)
    return config, checkpoint, model


def test_texts_of_the_config_are_what_a_text_encoder_encodes(with_encoder):
    config, checkpoint, model = with_encoder
    image = picture(SIZE)
    with Predictor(config, checkpoint) as predictor:
        result, = predictor.predict(image)
        assert predictor.spec.classes == ('dog', 'cat')
        inputs = image[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255)
        levels = predictor.backend.run(inputs)[:3]
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs))[0]
    for got, logits in zip(levels, expected):
        np.testing.assert_allclose(got, logits.numpy(), atol=1e-4)
    assert set(result.labels) == {0, 1}


def test_a_text_encoder_without_texts_is_refused(with_encoder):
    config, checkpoint, _ = with_encoder
    cfg = Config.fromfile(config)
    del cfg.test_dataloader.dataset['class_text_path']
    with pytest.raises(ValueError, match='set class_text_path'):
        Predictor(cfg, checkpoint)


def test_a_config_that_is_read_already(trained):
    config, checkpoint, _ = trained()
    cfg = Config.fromfile(config)
    before = copy.deepcopy(cfg.to_dict())
    image = picture(SIZE)
    for model in (config, cfg):
        with Predictor(model, checkpoint) as predictor:
            result, = predictor.predict(image)
        if model is config:
            expected = result
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.boxes, expected.boxes)
    assert len(result) > 20
    assert cfg.to_dict() == before
    with pytest.raises(ValueError, match=r'^\S+model\.py is a config: give'):
        Predictor(cfg)


@pytest.mark.parametrize('batch_size, workers', [(1, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize('concurrency', [1, 3])
def test_results_come_in_the_order_of_the_images(batch_size, workers,
                                                 concurrency):
    random = np.random.RandomState(0)
    backend = Mean(lambda: random.rand() * 0.01, concurrency)
    predictor = Predictor(backend, batch_size=batch_size, workers=workers)
    results = predictor.predict([flat(i) for i in range(22)])
    assert found(results) == [[i] for i in range(22)]
    assert sum(backend.sizes) == 22
    assert max(backend.sizes) == batch_size
    assert backend.most <= concurrency


def test_images_of_every_kind(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), flat(7))
    kinds = [
        path,
        str(path),
        flat(7),
        flat(7)[..., 0],
        np.dstack([flat(7), flat(200)[..., 0]]),
        flat(7).astype(np.uint16) * 256 + 255,
        Image.fromarray(flat(7)),
        Image.fromarray(flat(7)[..., 0]),
        Item(path),
    ]
    results = Predictor(Mean()).predict(kinds)
    assert found(results) == [[7]] * len(kinds)
    assert [r.path for r in results[:3]] == [path, path, None]
    assert found(Predictor(Mean()).predict(path)) == [[7]]
    assert found(Predictor(Mean()).predict(flat(7))) == [[7]]
    assert found(Predictor(Mean()).predict(Image.fromarray(flat(7)))) == [[7]]


def test_channels_are_bgr_and_boxes_of_the_image():
    image = flat(0, (32, 48))
    image[..., 0] = 50  # blue
    backend = Mean()
    seen = []
    run = backend._run
    backend._run = lambda images: seen.append(images.copy()) or run(images)
    result, = Predictor(backend).predict(image)
    assert seen[0][0, :, 5, 5].tolist() == [0, 0, 50]
    assert result.shape == (32, 48)
    np.testing.assert_allclose(result.boxes, [[0, 0, 48, 32]])


def test_what_is_no_image_raises_or_is_reported(tmp_path):
    bad = tmp_path / 'bad.jpg'
    bad.write_bytes(b'nothing')
    predictor = Predictor(Mean(), batch_size=2)
    with pytest.raises(ValueError, match='bad.jpg: not an image'):
        predictor.predict([flat(1), bad])
    with pytest.raises(ValueError, match='got a int'):
        predictor.predict([3])
    with pytest.raises(ValueError, match='float64 is not an image'):
        predictor.predict([flat(1) / 255])
    reported = []
    images = [flat(1), bad, flat(2), tmp_path / 'none.png', flat(3),
              flat(4, (1, 900))]
    results = predictor.stream(
        images, on_error=lambda item, error: reported.append(str(error)))
    assert found(results) == [[1], [2], [3]]
    assert [message.rsplit('/')[-1] for message in reported[:2]] == [
        'bad.jpg: not an image that OpenCV can decode',
        'none.png: cannot be read (No such file or directory)'
    ]
    assert '900x1 pixels' in reported[2]


def test_it_works_ahead_and_no_further():
    taken = []

    def images():
        for index in range(100):
            taken.append(index)
            yield flat(index)

    stream = Predictor(Mean(), workers=2).stream(images())
    assert next(stream).labels.tolist() == [0]
    assert 1 < len(taken) < 20
    stream.close()
    assert len(taken) < 20
    assert not any(
        thread.name.startswith(('load', 'infer'))
        for thread in threading.enumerate())


def test_an_error_of_the_runtime_ends_it():
    backend = Mean()

    def broken(images):
        raise RuntimeError('out of memory')

    backend._run = broken
    with pytest.raises(RuntimeError, match='out of memory'):
        Predictor(backend).predict([flat(i) for i in range(9)])


def test_a_fixed_batch_is_filled_up():
    backend = Mean(batch=4)
    assert found(Predictor(backend).predict([flat(i) for i in range(6)])) == [
        [i] for i in range(6)]
    assert backend.sizes == [4, 4]
    with pytest.raises(ValueError, match='`batch_size` 8: mean.test takes 4'):
        Predictor(backend, batch_size=8)


def test_classes_that_are_asked_for():
    predictor = Predictor(Mean(), classes=['3', '5'])
    assert found(predictor.predict([flat(i) for i in (3, 4, 5)])) == [
        [3], [], [5]]
    spec = dict(classes=('person', 'car'))
    with pytest.raises(ValueError, match='\'persn\'.*mean \'person\''):
        Predictor(Mean(**spec), classes=['persn'])
    with pytest.raises(ValueError, match='among others, \'person\', \'car\''):
        Predictor(Mean(**spec), classes=['xyz'])


def test_another_size_where_the_model_takes_any():
    backend = Mean(dynamic=True)
    seen = []
    run = backend._run
    backend._run = lambda images: seen.append(images.shape) or run(images)
    Predictor(backend, image_size=(128, 160)).predict(flat(1))
    assert seen == [(1, 3, 128, 160)]
    with pytest.raises(ValueError, match='multiples of 32'):
        Predictor(backend, image_size=(100, 160))
    with pytest.raises(ValueError, match='takes .64, 96. only'):
        Predictor(Mean(), image_size=(128, 160))


@pytest.mark.parametrize('settings, message', [
    (dict(batch_size=0), '`batch_size` 0'), (dict(workers=0), '`workers` 0'),
    (dict(score_threshold=2), 'threshold 2')])
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Predictor(Mean(), **settings)


def test_a_video(tmp_path):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 64))
    for value in (10, 100, 200):
        writer.write(flat(value))
    writer.release()
    results = list(Predictor(Mean()).stream([path], keep_images=True))
    assert [r.frame for r in results] == [0, 1, 2]
    np.testing.assert_allclose([r.labels[0] for r in results],
                               [10, 100, 200], atol=4)
    assert abs(int(results[1].image.mean()) - 100) < 4
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no film')
    with pytest.raises(ValueError, match='not a video'):
        Predictor(Mean()).predict(bad)
