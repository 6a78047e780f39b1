"""One data set, written in each format, reads back as the same boxes."""
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolo_world_rep.datasets import annotation_checks, annotations
from yolo_world_rep.datasets.conversion import convert, format_of

pytest.importorskip(
    'globox', reason='globox is not installed: pip install '
    '"yolo-world-rep[data]" to read labels of YOLO and VOC')

NAMES = ('traffic light', 'dog', 'ant')
HEIGHT, WIDTH = 40, 80
# Image to class and x, y, width, height.
TRUTH = dict(
    one=[('dog', (8., 4., 20., 10.)), ('traffic light', (40., 10., 8., 16.))],
    two=[('traffic light', (0., 0., 80., 40.))],
    none=[])


def write_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in TRUTH:
        cv2.imwrite(str(folder / f'{name}.png'),
                    np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def yolo_lines(boxes):
    return ''.join(
        f'{NAMES.index(name)} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} '
        f'{w / WIDTH} {h / HEIGHT}\n' for name, (x, y, w, h) in boxes)


def write_yolo(root: Path, split: str = 'train') -> None:
    write_images(root / 'images' / split)
    labels = root / 'labels' / split
    labels.mkdir(parents=True)
    for name, boxes in TRUTH.items():
        (labels / f'{name}.txt').write_text(yolo_lines(boxes))


def write_voc(root: Path) -> None:
    write_images(root / 'JPEGImages')
    (root / 'Annotations').mkdir()
    for name, boxes in TRUTH.items():
        objects = ''.join(
            f'<object><name>{kind}</name><bndbox><xmin>{x}</xmin>'
            f'<ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>'
            f'</bndbox></object>' for kind, (x, y, w, h) in boxes)
        (root / 'Annotations' / f'{name}.xml').write_text(
            f'<annotation><filename>{name}.png</filename><size>'
            f'<width>{WIDTH}</width><height>{HEIGHT}</height></size>'
            f'{objects}</annotation>')


def boxes_of(converted):
    """What was converted, in the form of TRUTH."""
    data = annotations.from_content(converted.content, 'a.json',
                                    converted.images_dir)
    names = {each['id']: each['name'] for each in data.categories}
    stems = {i['id']: Path(i['file_name']).stem for i in data.images}
    found = {stem: [] for stem in stems.values()}
    for box in data.boxes:
        found[stems[box['image_id']]].append(
            (names[box['category_id']], tuple(box['bbox'])))
    assert not list(annotation_checks.check_files(data))
    assert not list(annotation_checks.check_ids(data))
    return found


def test_folder_of_yolo_labels(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    source = tmp_path / 'labels' / 'train'
    assert format_of(source) == 'yolo'
    for images in (None, tmp_path / 'images' / 'train'):
        found = convert(dict(train=(source, images)), tmp_path)['train']
        assert boxes_of(found) == TRUTH
        names = [c['name'] for c in found.content['categories']]
        assert tuple(names) == NAMES


def test_yaml_of_ultralytics(tmp_path):
    write_yolo(tmp_path, 'train')
    write_yolo(tmp_path, 'val')
    path = tmp_path / 'data.yaml'
    path.write_text('path: .\ntrain: images/train\nval: ../images/val\n'
                    'names: {0: traffic light, 1: dog, 2: ant}\n')
    found = convert(dict(train=(path, None), val=(path, None)), tmp_path)
    assert boxes_of(found['train']) == boxes_of(found['val']) == TRUTH
    assert found['val'].images_dir == tmp_path / 'images' / 'val'


def test_list_of_images_with_labels_beside(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    (tmp_path / 'train.txt').write_text('images/train/two.png\n')
    found = convert(dict(train=(tmp_path / 'train.txt', None)), tmp_path)
    assert boxes_of(found['train']) == dict(two=TRUTH['two'])


def test_polygons_give_the_box_around_them(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    (tmp_path / 'labels' / 'train' / 'none.txt').write_text(
        '2 0.25 0.1 0.5 0.3 0.3 0.5\n')
    found = convert(
        dict(train=(tmp_path / 'labels' / 'train', None)), tmp_path)
    assert boxes_of(found['train'])['none'] == [('ant', (20., 4., 20., 16.))]


def test_image_without_a_label_file_is_told(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    (tmp_path / 'labels' / 'train' / 'two.txt').unlink()
    found = convert(
        dict(train=(tmp_path / 'labels' / 'train', None)), tmp_path)['train']
    finding, = found.findings
    assert '1 of 3 image(s) have no label file' in finding.text
    assert 'two.png' in finding.text


@pytest.mark.parametrize(('line', 'message'), [
    ('3 0.5 0.5 0.1 0.1', 'class 3, but 3 classes are named'),
    ('0 0.5 0.5 0.1', 'is no box'),
    ('0 0.5 half 0.1 0.1', 'is no box'),
    ('dog 0.5 0.5 0.1 0.1', 'is no box'),
])
def test_bad_lines_are_told_with_file_and_number(tmp_path, line, message):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    path = tmp_path / 'labels' / 'train' / 'two.txt'
    path.write_text(f'0 0.5 0.5 0.1 0.1\n{line}\n')
    with pytest.raises(ValueError, match=f'two.txt:2: .*{message}'):
        convert(dict(train=(path.parent, None)), tmp_path)


def test_yolo_without_names_says_which_files_would_do(tmp_path):
    write_yolo(tmp_path)
    with pytest.raises(ValueError, match=r'classes\.txt.*`classes`'):
        convert(dict(train=(tmp_path / 'labels', None)), tmp_path)


def test_folder_of_voc(tmp_path):
    write_voc(tmp_path)
    source = tmp_path / 'Annotations'
    assert format_of(source) == 'voc'
    found = convert(dict(train=(source, None)), tmp_path)['train']
    assert boxes_of(found) == TRUTH
    # Only names that occur, in an order that does not depend on the files.
    names = [c['name'] for c in found.content['categories']]
    assert names == ['dog', 'traffic light']


def test_splits_of_voc_share_their_classes(tmp_path):
    write_voc(tmp_path)
    sets = tmp_path / 'ImageSets'
    sets.mkdir()
    (sets / 'train.txt').write_text('one\nnone\n')
    (sets / 'val.txt').write_text('two  1\n')
    found = convert(
        dict(train=(sets / 'train.txt', None), val=(sets / 'val.txt', None)),
        tmp_path)
    assert boxes_of(found['val']) == dict(two=TRUTH['two'])
    assert found['train'].content['categories'] == found['val'].content[
        'categories']
    (tmp_path / 'names.txt').write_text('dog\n')
    with pytest.raises(ValueError, match="does not name .'traffic light'"):
        convert(dict(train=(sets / 'train.txt', None)), tmp_path,
                tmp_path / 'names.txt')


def test_voc_files_of_one_name_belong_to_their_folders(tmp_path):
    write_voc(tmp_path)
    for name, other in (('a', 'one'), ('b', 'two')):
        for folder, suffix in (('Annotations', 'xml'), ('JPEGImages', 'png')):
            (tmp_path / folder / name).mkdir()
            (tmp_path / folder / f'{other}.{suffix}').rename(
                tmp_path / folder / name / f'1.{suffix}')
    source = dict(train=(tmp_path / 'Annotations', None))
    content = convert(source, tmp_path)['train'].content
    boxes = {
        image['file_name']: [
            tuple(each['bbox']) for each in content['annotations']
            if each['image_id'] == image['id']]
        for image in content['images']
    }
    assert boxes['a/1.png'] == [box for _, box in TRUTH['one']]
    assert boxes['b/1.png'] == [box for _, box in TRUTH['two']]
    image = tmp_path / 'JPEGImages' / 'b' / '1.png'
    image.rename(tmp_path / 'JPEGImages' / '1.png')
    (tmp_path / 'Annotations' / 'a').rename(tmp_path / 'Annotations' / 'c')
    with pytest.raises(ValueError, match='may belong to'):
        convert(source, tmp_path)
    (tmp_path / 'JPEGImages' / '1.png').unlink()
    with pytest.raises(ValueError, match='are both named after'):
        convert(source, tmp_path)


def test_voc_that_is_incomplete(tmp_path):
    write_voc(tmp_path)
    (tmp_path / 'JPEGImages' / 'two.png').unlink()
    with pytest.raises(ValueError, match=r'1 of 3 XML files.*two\.xml'):
        convert(dict(train=(tmp_path / 'Annotations', None)), tmp_path)
    (tmp_path / 'list.txt').write_text('gone\n')
    with pytest.raises(ValueError, match=r'1 name\(s\).*gone\.xml'):
        convert(dict(train=(tmp_path / 'list.txt', None)), tmp_path)
    (tmp_path / 'Annotations' / 'one.xml').write_text('<annotation>')
    (tmp_path / 'list.txt').write_text('one\n')
    with pytest.raises(ValueError, match=r'one\.xml is not in the format'):
        convert(dict(train=(tmp_path / 'list.txt', None)), tmp_path)
