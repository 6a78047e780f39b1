from collections import defaultdict
from pathlib import Path

import pytest

from yolo_world_rep.datasets.yolo_format import (
    label_of,
    names_file,
    yolo_names,
)


def named(path):
    return yolo_names(path, defaultdict(list))


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
    assert names_file(tmp_path) == tmp_path / name
    assert named(tmp_path / name) == ('traffic light', 'dog')


@pytest.mark.parametrize('text', [
    'names: [no, yes, 007, 1.0, 2024-01-01, null, ~]',
    'names: {0: no, 1: yes, 2: 007, 3: 1.0, 4: 2024-01-01, 5: null, 6: ~}',
    'names: [no, "yes", \'007\', 1.0, " 2024-01-01", null, ~]\nval:\nnc: 7',
])
def test_names_of_a_yaml_stay_texts(tmp_path, text):
    (tmp_path / 'data.yaml').write_text(text)
    assert named(tmp_path / 'data.yaml') == (
        'no', 'yes', '007', '1.0', '2024-01-01', 'null', '~')


@pytest.mark.parametrize(('text', 'message'), [
    ('names: {1: a, 2: b}', 'expected 0, 1'),
    ('names: []', 'expected a list of class names'),
    ('- a', 'expected a mapping'),
    ('names: person, dog', 'expected a list of class names'),
    ('names: {0: a, 0: b}', 'a key is there twice'),
    ('names: [a, " a"]', 'class 1 has the name .a. of class 0'),
    ('names: [', 'is not YAML'),
])
def test_names_that_are_none(tmp_path, text, message):
    (tmp_path / 'data.yaml').write_text(text)
    with pytest.raises(ValueError, match=message):
        named(tmp_path / 'data.yaml')
