"""One data set, written in each format, reads back as the same boxes."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from yolo_world_rep.datasets import annotation_checks
from yolo_world_rep.datasets.conversion import convert, format_of

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


def boxes_of(data):
    """What was converted, in the form of TRUTH."""
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
        assert found.names == NAMES


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
    assert '1 image(s) have no label file' in finding.text
    assert 'two.png' in finding.text


@pytest.mark.parametrize(('line', 'message'), [
    ('3 0.5 0.5 0.1 0.1', 'class 3, but 3 classes are named'),
    ('0 0.5 0.5 0.1', 'is no box'),
    ('0 0.5 half 0.1 0.1', 'is no box'),
    ('0 40 20 8 8', 'is no box: 40 is no part of 1.*pixels'),
    ('0 0.5 nan 0.1 0.1', 'is no box: nan is no part of 1'),
    ('0 0.1 0.1 0.2 0.1 0.2 0.2 0.3', '7 numbers behind the class'),
    ('0.5 0.5 0.5 0.1 0.1', 'class 0.5'),
    ('-1 0.5 0.5 0.1 0.1', 'class -1'),
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
    assert found.names == ('dog', 'traffic light')


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
    assert found['train'].categories == found['val'].categories
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
    data = convert(source, tmp_path)['train']
    boxes = {
        image['file_name']: [
            tuple(each['bbox']) for each in data.boxes
            if each['image_id'] == image['id']]
        for image in data.images
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


def told(data):
    """The findings, each without its places."""
    return sorted(finding.text.split(': ')[0] for finding in data.findings)


@pytest.fixture
def labelled(tmp_path):
    """Read a YOLO data set of one image with these lines."""
    def read(*lines, yaml=''):
        write_yolo(tmp_path)
        for name in ('one', 'none'):
            (tmp_path / 'images' / 'train' / f'{name}.png').unlink()
            (tmp_path / 'labels' / 'train' / f'{name}.txt').unlink()
        (tmp_path / 'labels/train/two.txt').write_text('\n'.join(lines))
        path = tmp_path / 'data.yaml'
        path.write_text(f'train: images/train\nnames: [a, b, c]\n{yaml}')
        return convert(dict(train=(path, None)), tmp_path)['train']

    return read


BOX = '1 0.2 0.3 0.1 0.2'
XYWH = [12., 8., 8., 8.]


@pytest.mark.parametrize(('line', 'yaml', 'text'), [
    ('1.0 0.2 0.3 0.1 0.2', '', None),
    (f'{BOX} 0.9', '', '1 line(s) have key points or a score behind the box, '
                       'which are left out'),
    (f'{BOX} 0.2 0.3 2 0.1 0.1 0', 'kpt_shape: [2, 3]',
     '1 line(s) have key points or a score behind the box, which are left '
     'out'),
    (f'{BOX}\n{BOX}', '', '1 line(s) give a box a second time, which is left '
                          'out'),
    ('1 0.15 0.2 0.25 0.2 0.25 0.4 0.15 0.4', '',
     '1 line(s) have the four corners of an oriented box or polygon, of '
     'which the upright box around them is read'),
])
def test_lines_of_other_kinds(labelled, line, yaml, text):
    data = labelled(line, yaml=yaml)
    box, = data.boxes
    assert box['bbox'] == XYWH
    assert told(data) == ([text] if text else [])


@pytest.mark.parametrize(('line', 'yaml', 'message'), [
    (f'{BOX} 0.1 0.1', 'kpt_shape: [2, 2]', 'two.txt:1: .*6 numbers behind'),
    (BOX, 'kpt_shape: [2]', r'data.yaml: kpt_shape=.*\[17, 3\]'),
    (f'{BOX} 0.2 0.3 2 0.1 0.1', '', 'two.txt:1: .*need their kpt_shape'),
    (BOX, 'nc: 4', 'nc is .4., and names has 3'),
    (BOX, 'nc: 3\nnc: 3', 'a key is there twice'),
])
def test_lines_that_would_be_misread(labelled, line, yaml, message):
    with pytest.raises(ValueError, match=message):
        labelled(line, yaml=yaml)


def test_polygons_are_masks_as_well(labelled):
    data = labelled('1 0.2 0.2 0.3 0.2 0.3 0.4')
    assert data.boxes[0]['segmentation'] == [[16., 8., 24., 8., 24., 16.]]
    assert data.share_with_masks == 1


def test_labels_without_images_are_told(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    images = tmp_path / 'images' / 'train'
    (images / 'one.png').unlink()
    (images / 'two.png').rename(images / 'two.heic')
    source = dict(train=(tmp_path / 'labels' / 'train', None))
    finding, = convert(source, tmp_path)['train'].findings
    assert finding.text == ('2 label file(s) have no image of an ending that '
                            'is read: one.txt, two.heic.')


def test_images_listed_twice_or_by_another_machine(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    (tmp_path / 'train.txt').write_text(
        'images/train/two.png\nimages/train/two.png\n'
        'D:\\pets\\images\\train\\one.png\n')
    data = convert(dict(train=(tmp_path / 'train.txt', None)), tmp_path)[
        'train']
    assert boxes_of(data) == dict(two=TRUTH['two'], one=TRUTH['one'])
    assert told(data) == [
        '1 image(s) are listed more than once and taken once',
        '1 path(s) are not there and were found by their ends']


@pytest.mark.parametrize('turn', range(2, 9))
def test_labels_drawn_on_stored_pixels_are_turned(tmp_path, turn):
    """Where OpenCV puts the pixels of a box, there is the box."""
    path = tmp_path / 'a.jpg'
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[4:14, 8:28] = 255
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = turn
        image.save(path, exif=exif, quality=100)
    (tmp_path / 'a.txt').write_text('0 0.225 0.225 0.25 0.25')
    (tmp_path / 'classes.txt').write_text('cat')
    source = dict(train=(tmp_path, None))
    data = convert(source, tmp_path, exif='stored')['train']
    rows, columns = np.nonzero(cv2.imread(str(path))[..., 0] > 128)
    assert data.boxes[0]['bbox'] == [
        columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert '`exif` shown reads the other way' in data.findings[0].text
    shown = convert(source, tmp_path)['train']
    assert '1 labelled image(s) are turned' in shown.findings[0].text
    assert '`exif` stored reads the other way' in shown.findings[0].text
    width, height = (HEIGHT, WIDTH) if turn > 4 else (WIDTH, HEIGHT)
    assert shown.boxes[0]['bbox'] == [
        .1 * width, .1 * height, .25 * width, .25 * height]


VOC = ('<annotation><filename>{file}</filename>{size}<object><name>{name}'
       '</name><bndbox><xmin>8</xmin><ymin>4</ymin><xmax>28</xmax>'
       '<ymax>{ymax}</ymax></bndbox></object></annotation>')


def read_voc_file(folder, data, **fields):
    """One VOC file: bytes, or the fields of a usual one."""
    if not (folder / 'one.png').exists():
        cv2.imwrite(str(folder / 'one.png'),
                    np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    usual = dict(file='one.png', size='', name='dog', ymax='14')
    text = VOC.format(**{**usual, **fields})
    (folder / 'one.xml').write_bytes(data(text) if data else text.encode())
    return convert(dict(train=(folder, None)), folder)['train']


@pytest.mark.parametrize(('encoding', 'declared'), [
    ('utf-8', ''), ('utf-8-sig', ''), ('utf-16', ''), ('utf-16-le', ''),
    ('utf-16', 'utf-16'), ('gbk', 'gbk'), ('gb18030', 'GB2312'),
    ('latin-1', 'iso-8859-1'), ('cp1252', 'windows-1252')])
def test_xml_in_the_encoding_that_it_declares(tmp_path, encoding, declared):
    name = '狗' if 'gb' in encoding or 'utf' in encoding else 'perché'
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ''
    data = read_voc_file(
        tmp_path, lambda text: (head + text).encode(encoding), name=name)
    assert data.names == (name, )
    assert data.boxes[0]['bbox'] == [8, 4, 20, 10]
    assert data.images[0]['width'] == WIDTH  # the file has no size


@pytest.mark.parametrize(('fields', 'message'), [
    (dict(name=' '), "object 1 has name=''"),
    (dict(ymax=''), "object 1 has name='dog' and bndbox"),
    (dict(ymax='1e99'), 'object 1'),
    (dict(name='perch\xe9'), 'it is not in utf-8, its encoding'),
])
def test_voc_fields_that_are_none(tmp_path, fields, message):
    with pytest.raises(ValueError, match=f'one.xml is not in.*{message}'):
        read_voc_file(tmp_path, lambda text: text.encode('latin-1'), **fields)


def test_xml_of_something_else(tmp_path):
    with pytest.raises(ValueError, match=r'root is <annotations>'):
        read_voc_file(tmp_path, lambda text: b'<annotations/>')


def test_what_voc_files_say_of_names_and_sizes(tmp_path):
    data = read_voc_file(
        tmp_path, None, name='\n  traffic\n light ', file='C:\\a\\one.png',
        size='<size><width>40</width><height>40</height></size>')
    assert data.names == ('traffic light', )
    assert told(data) == ['1 image(s) have another size than their labels '
                          'say, so boxes may lie wrong']
    cv2.imwrite(str(tmp_path / 'bare.png'), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / 'one.xml').rename(tmp_path / 'other.xml')
    data = convert(dict(train=(tmp_path, None)), tmp_path)['train']
    assert len(data.boxes) == 1
    assert '1 image(s) have no XML file and are left out' in told(data)
