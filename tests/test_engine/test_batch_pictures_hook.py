"""The first batches of a training are drawn as it sees them."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmyolo.registry import HOOKS

from yolo_world_rep.engine.hooks import batch_pictures_hook
from yolo_world_rep.engine.hooks.batch_pictures_hook import batch_picture


@pytest.fixture
def batch():
    """Three grey images; the second has a box of the class 1."""
    return dict(
        inputs=torch.full((3, 3, 80, 100), 40, dtype=torch.uint8),
        data_samples=dict(bboxes_labels=torch.tensor(
            [[1., 1., 30., 40., 70., 60.]])))


def run(hook, tmp_path, iteration, batch):
    hook.before_train_iter(
        SimpleNamespace(work_dir=str(tmp_path), iter=iteration), 0, batch)


def test_each_image_has_its_own_boxes(batch):
    picture = batch_picture(batch, ('cat', 'dog'))
    assert picture.shape == (200, 200, 3)
    changed = (picture != 40).any(-1)
    rows, columns = np.nonzero(changed[:80])
    # The second image is at the right; the box's left and lower edges.
    assert columns.min() >= 128
    assert rows.max() <= 62
    assert changed[58:62, 150].any()
    # Below there are the third image and an empty place.
    assert not changed[100:180, :100].any()
    assert (picture[100:, 100:] == 114).all()


def test_names_are_the_texts_of_the_image(batch):
    plain = batch_picture(batch, ('cat', 'dog'))
    batch['data_samples']['texts'] = [['a', 'b'], ['x', 'dog'], ['c', 'd']]
    assert np.array_equal(batch_picture(batch, ()), plain)


def test_many_large_images_give_a_picture_that_can_be_looked_at():
    picture = batch_picture(dict(
        inputs=torch.zeros((20, 3, 640, 640), dtype=torch.uint8),
        data_samples=dict(bboxes_labels=torch.zeros((0, 6)))), ())
    assert picture.shape == (1920, 1920, 3)


def test_the_first_batches_and_no_others(batch, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_pictures_hook, 'data_sets',
                        lambda runner: [('train', None, ('cat', 'dog'))])
    messages = []
    monkeypatch.setattr(batch_pictures_hook, 'log',
                        lambda message, *args: messages.append(message))
    hook = HOOKS.build(dict(type='BatchPicturesHook', batches=2))
    for iteration in range(4):
        run(hook, tmp_path, iteration, batch)
    names = {path.name for path in (tmp_path / 'batches').iterdir()}
    assert names == {'0.jpg', '1.jpg'}
    assert cv2.imread(str(tmp_path / 'batches' / '0.jpg')).shape[:2] == (
        200, 200)
    assert not messages
    # What cannot be drawn ends no training.
    run(hook, tmp_path / 'gone', 0, batch)
    assert 'could not be written' in messages[0]
    assert not (tmp_path / 'gone').exists()
