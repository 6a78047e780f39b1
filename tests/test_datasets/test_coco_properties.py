"""One field of a COCO file made invalid: the same AP, or one clear line."""
import copy
import functools
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmyolo.datasets import YOLOv5CocoDataset

from yolo_world_rep.datasets.annotations import read_coco
from yolo_world_rep.detector.evaluation import (
    Precisions,
    category_ids,
    quiet_coco,
    truth_of,
)

NAMES = ('cat', 'dog')
BOXES = [('1.png', 0, 4, 4, 20, 12), ('1.png', 1, 30, 8, 24, 30),
         ('2.png', 1, 2, 2, 40, 40), ('3.png', 0, 10, 20, 16, 16),
         ('3.png', 0, 40, 20, 18, 16)]
IMAGES = ('1.png', '2.png', '3.png')
GONE = object()
NUMBERS = (GONE, None, True, [], {}, 'x', math.nan, math.inf, 10**30)
INVALID = {
    ('images', 'id'): (*NUMBERS, -1, 0, 1.5, '2', 2, 99),
    ('images', 'file_name'): (GONE, None, True, [], {}, '', 7),
    ('images', 'width'): (*NUMBERS, 0, -1, '64', 64.),
    ('images', 'height'): (*NUMBERS, 0, -1, '48', 48.),
    ('categories', 'id'): (*NUMBERS, 1.5, '2', 2, 99),
    ('categories', 'name'): (GONE, None, True, [], {}, '', 7, 'dog'),
    ('annotations', 'id'): (*NUMBERS, -1, 0, 1.5, '2', 2),
    ('annotations', 'image_id'): (*NUMBERS, 1.5, 99),
    ('annotations', 'category_id'): (*NUMBERS, 1.5, 99),
    ('annotations', 'area'): (*NUMBERS, 0, -1),
    ('annotations', 'iscrowd'): (*NUMBERS[:2], False, '0', 'x', [], 2),
    ('annotations', 'bbox'): (
        *NUMBERS, [], [1, 2, 3], [1, 2, 3, None], [1, 2, 3, math.nan],
        [True, 2, 3, 4], [1, 2, 3, 10**30], [[1, 2, 3, 4]]),
    ('annotations', 'segmentation'): (
        *NUMBERS, [[]], [[1, 2]], [[1, 2, 3]], [1, 2, 3, 4, 5, 6, 7],
        [[1, 2], [3, 4]], [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]], [None],
        [[math.nan] * 6], [['a'] * 6], dict(counts=7)),
}


def sound():
    annotations = [
        dict(id=number, image_id=IMAGES.index(name) + 1, category_id=label + 1,
             bbox=[x, y, w, h], area=w * h, iscrowd=0,
             segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]])
        for number, (name, label, x, y, w, h) in enumerate(BOXES, 1)]
    return dict(
        images=[dict(id=number, file_name=name, width=64, height=48)
                for number, name in enumerate(IMAGES, 1)],
        annotations=annotations,
        categories=[dict(id=number, name=name)
                    for number, name in enumerate(NAMES, 1)])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('coco')
    for name in IMAGES:
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    return folder


def precision(truth):
    """AP of detections that find four of the five boxes, one a bit aside."""
    index = quiet_coco(truth)
    ids = category_ids(index, NAMES, truth.path)
    images = {image['file_name']: image['id'] for image in truth.images}
    rows = [dict(image_id=images[name], category_id=ids[label], score=0.9 - n /
                 10, bbox=[x + 2 * (n == 2), y, w, h])
            for n, (name, label, x, y, w, h) in enumerate(BOXES[1:])]
    return Precisions.of(index, rows, ids).figures()


def trained(path, folder):
    """Every box that mmdet trains on, with its label and its image."""
    dataset = YOLOv5CocoDataset(
        ann_file=str(path), data_prefix=dict(img=str(folder)),
        filter_cfg=dict(filter_empty_gt=False, min_size=32),
        metainfo=dict(classes=NAMES))
    return sorted(
        (Path(info['img_path']).name, each['bbox_label'], *each['bbox'])
        for info in map(dataset.get_data_info, range(len(dataset)))
        for each in info['instances'] if not each['ignore_flag'])


def outcome(path, folder):
    """AP and boxes; what is refused is so for evaluation and training."""
    try:
        truth = truth_of(path, folder)
        data = read_coco(path, folder)
        figures = precision(truth)
    except ValueError as error:
        text = str(error)
        if str(path) not in text or '\n' in text:
            raise
        return None
    assert (truth.images, truth.boxes) == (data.images, data.boxes)
    written = path.with_name('written.json')
    written.write_bytes(data.to_json())
    # Where nothing is changed, the file itself is as good.
    return figures, trained(written if data.changed else path, folder)


@functools.cache
def of_sound(folder):
    path = folder / 'sound.json'
    path.write_text(json.dumps(sound()))
    assert not read_coco(path, folder).changed
    return outcome(path, folder)


def check(content, folder, refused=None):
    path = folder / 'a.json'
    figures, boxes = of_sound(folder)
    path.write_text(json.dumps(content))
    found = outcome(path, folder)
    if refused is not None:
        assert (found is None) == refused
    if found is not None:
        assert found[0] == pytest.approx(figures, nan_ok=True)
        assert found[1] == boxes


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_invalid_field(folder, data):
    part, key = data.draw(st.sampled_from(sorted(INVALID)))
    value = data.draw(st.sampled_from(INVALID[part, key]))
    content = sound()
    record = data.draw(st.sampled_from(content[part]))
    if value is GONE:
        del record[key]
    else:
        record[key] = value
    # These can always be put right.
    lossless = key in ('area', 'width', 'height') or (
        part, key) == ('annotations', 'id')
    check(content, folder, False if lossless else None)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_one_record_twice_or_none(folder, data):
    content = sound()
    part = data.draw(st.sampled_from(sorted(content)))
    records = content[part]
    extra = data.draw(st.sampled_from(
        [*copy.deepcopy(records), None, 7, [], {}]))
    records.append(extra)  # before, it would change the order of labels
    check(content, folder, not extra or extra == 7)


def all_of(part, **changes):
    content = sound()
    for number, record in enumerate(content[part]):
        for key, value in changes.items():
            record[key] = value(number, record)
    return content


@pytest.mark.parametrize('content', [
    all_of('annotations', id=lambda n, b: 1),
    all_of('annotations', id=lambda n, b: n),
    all_of('annotations', id=lambda n, b: f'a{n}'),
    all_of('annotations', bbox=lambda n, b: [*map(str, b['bbox'])]),
    all_of('annotations', segmentation=lambda n, b: b['segmentation'][0]),
    all_of('annotations', segmentation=lambda n, b: np.reshape(
        b['segmentation'], (4, 2)).tolist()),
    all_of('annotations', image_id=lambda n, b: str(b['image_id']),
           category_id=lambda n, b: float(b['category_id'])),
    all_of('images', width=lambda n, i: None, height=lambda n, i: '48'),
    {**sound(), 'images': [*sound()['images'], *(
        dict(image, id=image['id'] + 3) for image in sound()['images'])]},
])
def test_what_tools_write_is_put_right_and_said(folder, content):
    check(content, folder, refused=False)
    data = read_coco(folder / 'a.json', folder)
    assert data.changed
    assert data.findings[0].text[0].isdigit()
    assert data.share_with_masks == 1


def test_an_image_whose_boxes_are_under_two_ids_is_one(folder):
    content = sound()
    content['images'].append(dict(content['images'][2], id=4))
    content['annotations'][4]['image_id'] = 4
    content['annotations'].append(
        dict(content['annotations'][3], id=6, image_id=4))
    check(content, folder, refused=False)


def test_a_few_masks_that_are_none_leave_the_others_and_their_boxes(folder):
    content = sound()
    content['annotations'][1]['segmentation'] = [[30, 8, 54, 8]]
    check(content, folder, refused=False)
    data = read_coco(folder / 'a.json', folder)
    assert data.share_with_masks == 1
    assert data.boxes[1]['segmentation'] == [[30, 8, 54, 8, 54, 38, 30, 38]]
    for box in content['annotations']:
        box['segmentation'] = [[4, 4, 8, 8]]
    check(content, folder, refused=False)
    assert read_coco(folder / 'a.json', folder).share_with_masks == 0
