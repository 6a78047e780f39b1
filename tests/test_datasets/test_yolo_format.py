import sys
from pathlib import Path

import pytest

from yolo_world_rep.datasets.yolo_format import (
    globox,
    label_of,
    yolo_names,
)


@pytest.mark.parametrize(('image', 'label'), [
    ('a/images/train/x.jpg', 'a/labels/train/x.txt'),
    ('images/b/images/x.y.png', 'images/b/labels/x.y.txt'),
    ('a/x.jpg', 'a/x.txt'),
    ('a/images.jpg', 'a/images.txt'),
])
def test_labels_lie_where_ultralytics_looks(image, label):
    assert label_of(Path(image)) == Path(label)


@pytest.mark.parametrize(('name', 'text'), [
    ('data.yaml', 'names: [traffic light, dog]\n'),
    ('pets.yml', 'names: {1: dog, 0: traffic light}\n'),
    ('classes.txt', 'traffic light\ndog\n\n'),
    ('obj.names', 'traffic light\r\ndog\r\n'),
])
def test_names_of_the_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert yolo_names(tmp_path) == ('traffic light', 'dog')
    assert yolo_names(tmp_path / name) == ('traffic light', 'dog')


@pytest.mark.parametrize(('text', 'message'), [
    ('names: {1: a, 2: b}', 'expected 0, 1'),
    ('names: []', 'expected a list of class names'),
    ('- a', 'expected a mapping'),
    ('names: [', 'is not YAML'),
])
def test_names_that_are_none(tmp_path, text, message):
    (tmp_path / 'data.yaml').write_text(text)
    with pytest.raises(ValueError, match=message):
        yolo_names(tmp_path / 'data.yaml')


def test_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'globox', None)
    with pytest.raises(ImportError, match=r'yolo_world_rep\[data\]'):
        globox()
