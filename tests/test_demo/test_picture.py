import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from yolo_world_rep.demo import picture
from yolo_world_rep.report import figures

NAMES = ('cat', 'dog')


def _sample(*rows):
    """Rows of (label, score, x); all boxes are 20 pixels wide and high."""
    table = torch.tensor(rows).reshape(-1, 3)
    x = table[:, 2:]
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        labels=table[:, 0].long(),
        scores=table[:, 1],
        bboxes=torch.cat([x, 0 * x + 10, x + 20, 0 * x + 30], 1))
    return sample


def _truth(*rows):
    boxes = np.array([[x, 10, x + 20, 30] for _, x in rows]).reshape(-1, 4)
    return picture.Truth('image.png', boxes, [name for name, _ in rows])


def _verdicts(marks):
    verdicts = {colour: name for name, colour in figures.COLOURS.items()}
    return [(mark.text.split()[0], verdicts[mark.colour]) for mark in marks]


def test_right_wrong_and_missed():
    marks = picture.judge(
        _sample((1, .9, 50), (0, .8, 10), (1, .2, 80)),
        _truth(('cat', 12), ('cat', 50), ('dog', 80)), NAMES)
    assert _verdicts(marks) == [('dog', 'wrong'), ('cat', 'right'),
                                ('dog', 'missed')]
    assert marks[0].text == 'dog 0.90, is cat'
    assert figures.count(marks) == '1 right, 1 wrong, 1 missed'


def test_an_object_counts_once_and_the_best_detection_of_a_place():
    # Two detections of one object; the second one lies beside the first.
    marks = picture.judge(
        _sample((0, .9, 10), (1, .8, 11), (0, .7, 18)), _truth(('cat', 13)),
        NAMES)
    assert _verdicts(marks) == [('cat', 'right'), ('cat', 'wrong')]


def test_nothing_found_and_nothing_there():
    assert picture.judge(_sample(), _truth(), NAMES) == []
    marks = picture.judge(_sample((0, .9, 1)), _truth(('dog', 50)), NAMES,
                          starred={'cat'})
    assert [mark.text for mark in marks] == ['cat* 0.90', 'dog missed']
    assert _verdicts(picture.judge(_sample((0, .9, 1)), _truth(),
                                   NAMES)) == [('cat', 'wrong')]


def test_images_with_most_wanted_objects_come_first():
    truths = {
        0: _truth(('cat', 1)),
        1: _truth(('dog', 1), ('dog', 30)),
        2: _truth(('dog', 1), ('cat', 30))
    }
    assert picture.choose_images(truths, {'dog'}, 2) == [1, 2]


def test_picture_has_a_column_for_each_model(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((64, 64, 3), 90, np.uint8))
    truth = _truth(('cat', 12))._replace(path=path)
    marks = picture.judge(_sample((0, .9, 12), (1, .9, 40)), truth, NAMES)
    widths = []
    for columns in (['one'], ['one', 'two']):
        picture.draw(tmp_path / 'out.png', {t: {7: marks} for t in columns},
                     {7: truth})
        image = cv2.imread(str(tmp_path / 'out.png'))
        widths.append(image.shape[1])
        # Both verdicts are there to be seen.
        for colour in ('right', 'wrong'):
            bgr = figures.COLOURS[colour][::-1]
            assert (np.abs(image.astype(int) - bgr).max(-1) < 30).any()
    # Versions of matplotlib round a margin differently.
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'image.png', 'out.png'
    ]
