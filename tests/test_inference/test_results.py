import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolo_world_rep.inference import Result


def result(**changes):
    return Result(
        **dict(
            dict(
                boxes=np.array([[10, 20, 40, 60], [0, 0, 99.5, 80]], 'f4'),
                scores=np.array([0.9, 0.4], 'f4'),
                labels=np.array([2, 0]),
                names=('cat', 'dog', 'Müller\n<b>'),
                shape=(80, 100),
                pixels=np.full((80, 100, 3), 50, np.uint8)), **changes))


def empty():
    return result(
        boxes=np.zeros((0, 4), 'f4'),
        scores=np.zeros(0, 'f4'),
        labels=np.zeros(0, int))


def test_the_picture_has_the_boxes_and_the_image_is_as_before():
    one = result()
    picture = one.plot()
    assert picture.shape == (80, 100, 3)
    assert picture.dtype == np.uint8
    changed = (picture != 50).any(2)
    assert changed[40, 10]
    assert changed[60, 25]
    assert not changed[40, 25]
    assert (one.pixels == 50).all()
    np.testing.assert_array_equal(empty().plot(), empty().image)


def test_boxes_at_the_border_and_without_area_can_be_drawn():
    for box in ([0, 0, 0, 0], [99, 79, 100, 80], [0, 0, 100, 80],
                [50, 5, 50, 70]):
        boxes = np.array([box], 'f4')
        result(boxes=boxes, scores=np.ones(1), labels=np.zeros(1, int)).plot()


def test_colours_are_bgr():
    one = result(
        boxes=np.array([[10, 20, 40, 60]], 'f4'),
        scores=np.ones(1),
        labels=np.zeros(1, int))
    blue, green, red = one.plot()[40, 10].tolist()
    assert red > green > blue  # the first class is orange


def test_the_image_is_read_again_where_it_was_not_kept(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.full((80, 100, 3), 77, np.uint8))
    assert (result(pixels=None, path=path).image == 77).all()
    for lost in (result(pixels=None), result(pixels=None, path=path, frame=3)):
        with pytest.raises(ValueError, match='keep_images=True'):
            lost.plot()


def test_rows_of_coco():
    rows = result().to_coco(17)
    assert [row['category_id'] for row in rows] == [2, 0]
    assert rows[0]['image_id'] == 17
    assert rows[0]['bbox'] == [10, 20, 30, 40]
    assert rows[0]['score'] == pytest.approx(0.9)
    assert [row['category_id'] for row in result().to_coco(1, [5, 6, 9])] == [
        9, 5]
    assert empty().to_coco(1) == []


def test_lines_of_yolo():
    first, second = result().to_txt().splitlines()
    assert first == '2 0.250000 0.500000 0.300000 0.500000 0.900000'
    assert second.startswith('0 0.497500')
    assert empty().to_txt() == ''


def test_supervision(monkeypatch):
    fake = types.ModuleType('supervision')
    fake.Detections = lambda **values: values
    monkeypatch.setitem(sys.modules, 'supervision', fake)
    values = result().to_supervision()
    assert values['class_id'].tolist() == [2, 0]
    assert values['data']['class_name'].tolist() == ['Müller\n<b>', 'cat']
    assert values['xyxy'].shape == (2, 4)


def test_supervision_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match='yolo_world_rep.supervision.'):
        result().to_supervision()


def test_what_it_shows_of_itself():
    assert len(result()) == 2
    assert 'cat 0.40' in repr(result(path=Path('a/b.jpg')))
    assert result(path=Path('a/b.jpg')).stem == 'b'
    assert result(path=Path('a/b.mp4'), frame=7).stem == 'b_000007'
    assert result(index=3).stem == 'image_000003'
