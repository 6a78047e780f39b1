import copy
import json
import re

import cv2
import numpy as np
import pytest

from yolo_world_rep.datasets import annotation_checks, annotations

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
SIDE = (48, 64)  # height, width


def box(number, image, category, bbox=(4, 4, 20, 10), **more):
    return dict(
        id=number, image_id=image, category_id=category, bbox=list(bbox),
        area=bbox[2] * bbox[3], iscrowd=0, **more)


@pytest.fixture
def content(tmp_path):
    """A sound file of three images; two classes, one id left out."""
    for number in (1, 2, 3):
        pixels = np.full((*SIDE, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), pixels)
    return dict(
        images=[
            dict(id=n, file_name=f'{n}.png', width=SIDE[1], height=SIDE[0])
            for n in (1, 2, 3)
        ],
        annotations=[box(1, 1, 1), box(2, 2, 2), box(3, 3, 1)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')])


def read(folder, content, name='a.json', images=None):
    path = folder / name
    path.write_text(json.dumps(content))
    return annotations.read_coco(path, images or folder)


def texts(found, level=None):
    return ' '.join(f.text for f in found if level in (None, f.level))


def test_sound_data_has_no_findings_but_that_it_has_no_masks(
        tmp_path, content):
    data = read(tmp_path, content)
    finding, = annotation_checks.check(data)
    assert finding == (NOTE, 'no masks: boxes are taken as they are.')
    assert data.names == ('cat', 'dog')
    assert data.boxes_of_class == dict(cat=2, dog=1)


def test_spaces_around_a_name_go(tmp_path, content):
    content['categories'][0]['name'] = ' cat\n'
    data = read(tmp_path, content)
    assert data.names == ('cat', 'dog')
    assert data.changed
    assert 'have spaces around them' in texts(data.findings, WARNING)
    assert content['categories'][0]['name'] == ' cat\n'


def broken(change):
    """Mark a function that damages a sound file."""
    return pytest.param(change, id=change.__name__)


def lost_image(c):
    c['images'][1]['file_name'] = 'gone.png'
    return ERROR, '1 of 3 image file(s) are not in', 'gone.png'


def twice_a_name(c):
    c['categories'][1]['name'] = 'cat'
    return ERROR, 'class names occur more than once: cat', ''


def gap(c):
    c['categories'][1]['id'] = 7
    c['annotations'][1]['category_id'] = 7
    return NOTE, 'have gaps (1 to 7)', ''


def thin(c):
    c['annotations'][1]['bbox'] = [3, 3, 0.5, 9]
    return WARNING, 'less than a pixel', 'id 2'


def outside(c):
    c['annotations'][1]['bbox'] = [64, 3, 9, 9]
    return WARNING, 'wholly outside of the image', 'id 2'


def over_the_border(c):
    c['annotations'][1]['bbox'] = [60, 3, 9, 9]
    return WARNING, 'over the border', 'id 2'


def crowd(c):
    c['annotations'][1]['iscrowd'] = 1
    return WARNING, '1 of 3 boxes are crowds (iscrowd=1)', 'id 2 of 2.png'


def ignored(c):
    c['annotations'][1]['ignore'] = 1
    return WARNING, 'marked by ignore=1', 'id 2 of 2.png'


def corners(c):
    for each in c['annotations']:
        each['bbox'] = [30, 20, 50, 34]
    return WARNING, 'over the border', 'may be x1, y1, x2, y2'


def nothing_left(c):
    for each, change in zip(c['annotations'], (
            dict(iscrowd=1), dict(bbox=[900, 9, 9, 9]), dict(bbox=[0] * 4))):
        each.update(change)
    return (ERROR, 'no box is left: 1 of 3 boxes are crowds', '1 of 3 boxes '
            'are wholly outside')


def run_lengths(c):
    for each in c['annotations']:
        each['segmentation'] = dict(size=SIDE[::-1], counts=[9, 3, 3060])
    return WARNING, '3 of 3 masks are run lengths', 'count as none'


def relative(c):
    for each in c['annotations']:
        each['bbox'] = [0.1, 0.2, 0.3, 0.4]
    return ERROR, 'relative to the image', 'pixels'


def empty_class(c):
    c['categories'].append(dict(id=3, name='owl'))
    return WARNING, '1 of 3 class(es) have no box: owl', ''


def some_masks(c):
    c['annotations'][0]['segmentation'] = [[4, 4, 24, 4, 24, 14]]
    return WARNING, '33.3% of the boxes have a mask', 'none is used'


def rotated(c):
    for image in c['images']:
        image.update(width=SIDE[0], height=SIDE[1])
    return WARNING, 'are exchanged', '1.png is 64x48 and stated as 48x64'


def background(c):
    del c['annotations'][2]
    return NOTE, '1 image(s) have no box', ''


@pytest.mark.parametrize('change', [
    broken(each) for each in (
        lost_image, twice_a_name, gap, thin, outside, over_the_border, crowd,
        ignored, corners, nothing_left, run_lengths, relative, empty_class,
        some_masks, rotated, background)
])
def test_each_damage_is_found_with_an_example(tmp_path, content, change):
    level, *parts = change(content)
    found = annotation_checks.check(read(tmp_path, content))
    for part in parts:
        assert part in texts(found, level)


def test_boxes_that_are_dropped_are_those_that_mmdet_drops(
        tmp_path, content):
    from mmyolo.datasets import YOLOv5CocoDataset
    thin(content)
    content['annotations'][2]['bbox'] = [64, 3, 9, 9]
    content['annotations'].append(box(4, 1, 2, (60, 3, 9, 9)))
    found = list(
        annotation_checks.check_boxes(read(tmp_path, content)))
    dropped = sum(int(f.text.split()[0]) for f in found
                  if 'left out of training' in f.text)
    dataset = YOLOv5CocoDataset(
        ann_file=str(tmp_path / 'a.json'), data_prefix=dict(img=''),
        metainfo=dict(classes=('cat', 'dog')))
    kept = sum(
        len(dataset.get_data_info(i)['instances']) for i in range(3))
    assert len(content['annotations']) - dropped == kept == 2


def test_unreadable_images_and_small_ones(tmp_path, content):
    (tmp_path / '1.png').write_bytes(b'none')
    cv2.imwrite(str(tmp_path / '2.png'), np.zeros((20, 64, 3), np.uint8))
    content['images'][1]['height'] = 20
    found = list(
        annotation_checks.check_files(read(tmp_path, content)))
    assert '1 image file(s) cannot be read: 1.png' in texts(found, ERROR)
    assert '1 image(s) are smaller than 32' in texts(found, NOTE)


def test_rotation_by_exif_is_followed_as_opencv_follows_it(tmp_path):
    from PIL import Image
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'turned.jpg'
    Image.new('RGB', (60, 40)).save(path, exif=exif)
    assert cv2.imread(str(path)).shape[:2] == (60, 40)
    assert annotations.header_size(path) == (40, 60)


@pytest.mark.parametrize(('damage', 'message'), [
    (lambda c: c.pop('categories'), "has no list 'categories'"),
    (lambda c: c['images'][1].pop('file_name'),
     'images[1] has file_name=None'),
    (lambda c: c['images'][1].update(width=None, file_name='gone.png'),
     "'gone.png' has width=None"),
    (lambda c: c['annotations'][1].update(bbox=[1, 2, 3]),
     'annotations[1] of 2.png has bbox=[1, 2, 3]'),
    (lambda c: c['annotations'][1].update(bbox=[1, 2, 3, float('nan')]),
     'four finite numbers'),
    (lambda c: c['annotations'][1].update(bbox=[True, 2, 3, 4]),
     'bbox=[True'),
    (lambda c: c['annotations'][1].update(bbox=[1, 2, 3, 1e12]),
     'bbox=[1, 2, 3, 1000'),
    (lambda c: c['annotations'][1].update(iscrowd='perhaps'),
     "annotations[1] of 2.png has iscrowd='perhaps'; expected 0, 1"),
    (lambda c: c['annotations'][1].update(segmentation='polygon'),
     "has segmentation='polygon'; expected a list of polygons"),
    (lambda c: c['annotations'][1].pop('image_id'),
     'annotations[1] has image_id=None; expected an id that is listed'),
    (lambda c: c['annotations'].append(7), 'annotations[3] has bbox=7'),
    (lambda c: c['images'][1].update(id=1),
     "images[1] has id=1, which '1.png' has as well"),
    (lambda c: c['images'][1].pop('id'),
     'annotations[1] has image_id=2; expected an id that is listed'),
    (lambda c: c['categories'][0].update(id='cat'),
     'annotations[0] has category_id=1; expected an id'),
])
def test_other_files_are_refused_with_the_place(tmp_path, content, damage,
                                                message):
    damage(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(tmp_path, content)
    assert str(tmp_path / 'a.json') in str(caught.value)


def test_files_that_are_no_json(tmp_path):
    with pytest.raises(ValueError, match='cannot be read: No such file'):
        annotations.read_coco(tmp_path / 'none.json', tmp_path)
    (tmp_path / 'a.json').write_text('{"images": [')
    with pytest.raises(ValueError, match='is not JSON'):
        annotations.read_coco(tmp_path / 'a.json', tmp_path)
    (tmp_path / 'a.json').write_text('[]')
    with pytest.raises(ValueError, match="'images', 'annotations'"):
        annotations.read_coco(tmp_path / 'a.json', tmp_path)


class TestComparison:

    def test_other_order_of_the_categories_is_an_error(self, tmp_path,
                                                       content):
        other = copy.deepcopy(content)
        other['categories'].reverse()
        found = annotation_checks.compare(
            read(tmp_path, content), read(tmp_path, other, 'b.json'))
        assert 'another order' in texts(found, ERROR)

    def test_class_that_is_only_validated(self, tmp_path, content):
        train = copy.deepcopy(content)
        train['annotations'][1]['category_id'] = 1
        found = annotation_checks.compare(
            read(tmp_path, train), read(tmp_path, content, 'b.json'))
        assert 'never trained: dog' in texts(found, WARNING)

    def test_shared_images_and_copies_under_another_name(self, tmp_path,
                                                         content):
        train, val = copy.deepcopy(content), copy.deepcopy(content)
        del train['images'][2:], train['annotations'][2:]
        val['images'][0]['file_name'] = 'copy.png'
        (tmp_path / 'copy.png').write_bytes((tmp_path / '1.png').read_bytes())
        found = annotation_checks.shared_images(
            read(tmp_path, train), read(tmp_path, val, 'b.json'))
        assert found == ['copy.png', '2.png']  # 3.png only looks alike

    def test_apart(self, tmp_path, content):
        train, val = copy.deepcopy(content), copy.deepcopy(content)
        del train['images'][2], train['annotations'][2]
        del val['images'][:2], val['annotations'][:2]
        assert annotation_checks.compare(
            read(tmp_path, train), read(tmp_path, val, 'b.json')) == []
