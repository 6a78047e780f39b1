import numpy as np
import pytest

from yolo_world_rep.report.mistakes import (
    Picture,
    assign,
    confusion,
    mistakes,
    worst,
)

LEFT, MIDDLE, RIGHT = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]


def picture(boxes, labels, found, found_labels):
    return Picture(
        path='a.png',
        boxes=np.array(boxes, float).reshape(-1, 4),
        labels=np.array(labels, int),
        found=np.array(found, float).reshape(-1, 4),
        found_labels=np.array(found_labels, int),
        scores=np.linspace(0.9, 0.5, len(found)))


def test_right_wrong_missed_and_invented():
    one = picture([LEFT, MIDDLE], [0, 1], [LEFT, RIGHT], [1, 0])
    assert assign(one) == [(0, 0), (None, 1), (1, None)]
    table = confusion([one, picture([LEFT], [1], [LEFT], [1])], 2)
    assert table.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert mistakes(one) == 3


def test_object_of_its_own_class_comes_before_a_closer_one():
    near, nearer = [0, 0, 10, 12], [0, 0, 10, 10]
    one = picture([near, nearer], [1, 0], [nearer], [1])
    assert assign(one) == [(0, 0), (1, None)]


def test_an_object_is_found_once():
    one = picture([LEFT], [0], [LEFT, LEFT], [0, 0])
    assert assign(one) == [(0, 0), (None, 1)]
    assert mistakes(one) == 1


@pytest.mark.parametrize('one', [
    picture([], [], [], []), picture([LEFT], [0], [LEFT], [0])])
def test_images_without_mistakes_are_not_among_the_worst(one):
    bad = picture([LEFT], [0], [], [])
    worse = picture([LEFT, RIGHT], [0, 0], [MIDDLE], [0])
    assert worst([one, bad, worse], 5) == [worse, bad]
    assert worst([one, bad, worse], 1) == [worse]


def test_confusion_counts_every_object_and_detection():
    rng = np.random.default_rng(0)
    many = []
    for _ in range(20):
        corner = rng.uniform(0, 50, (2, 6, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (2, 6, 2))
                                ], -1)
        many.append(picture(boxes[0], rng.integers(0, 3, 6), boxes[1],
                            rng.integers(0, 3, 6)))
    table = confusion(many, 3)
    assert table[:3].sum() == 120
    assert table[:, :3].sum() == 120
    assert table[3, 3] == 0
