"""Data as tools export them: found by name, split, or refused."""
import json
import shlex

import cv2
import numpy as np
import pytest

from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.config.own_data import (
    read_own_data,
    read_split,
    split_by_image,
)
from yolo_world_rep.datasets.annotations import from_content
from yolo_world_rep.utils.cli import as_options

NAMES = ('cat', 'dog')
SIDE = 40


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # No two are copies of each other.
    value = sum(map(ord, str(path))) % 251
    cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), value, np.uint8))


def coco(path, images, names, prefix=''):
    """A COCO file of a box in each image, which are in a folder."""
    for name in names:
        image(images / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(
        images=[dict(id=i, file_name=prefix + name, width=SIDE, height=SIDE)
                for i, name in enumerate(names)],
        annotations=[dict(id=i, image_id=i, category_id=i % 2, area=100,
                          bbox=[1, 2, 10, 10], iscrowd=0)
                     for i in range(len(names))],
        categories=[dict(id=i, name=name) for i, name in enumerate(NAMES)])))


def yolo(images, labels, names):
    labels.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image(images / f'{name}.png')
        (labels / f'{name}.txt').write_text(f'{number % 2} 0.5 0.5 0.2 0.2\n')


def voc(images, labels, names):
    labels.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image(images / f'{name}.png')
        (labels / f'{name}.xml').write_text(
            f'<annotation><filename>{name}.png</filename><size><width>{SIDE}'
            f'</width><height>{SIDE}</height></size><object><name>'
            f'{NAMES[number % 2]}</name><bndbox><xmin>1</xmin><ymin>2</ymin>'
            f'<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>')


def roboflow_coco(root):
    for split, names in (('train', 'abcd'), ('valid', 'ef'), ('test', 'g')):
        coco(root / split / '_annotations.coco.json', root / split,
             [f'{name}.png' for name in names])


def roboflow_yolo(root):
    for split, names in (('train', 'abcd'), ('valid', 'ef'), ('test', 'g')):
        yolo(root / split / 'images', root / split / 'labels', names)
    (root / 'data.yaml').write_text(
        'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n'
        'nc: 2\nnames: [cat, dog]\n')
    (root / 'README.roboflow.txt').write_text('Exported\n')


def ultralytics(root):
    for split, names in (('train', 'abcd'), ('val', 'ef')):
        yolo(root / 'images' / split, root / 'labels' / split, names)
    (root / 'pets.yaml').write_text(
        'path: .\ntrain: images/train\nval: images/val\n'
        'names: {0: cat, 1: dog}\n')


def yolo_folders(root):
    for split, names in (('train', 'abcd'), ('val', 'ef')):
        yolo(root / 'images' / split, root / 'labels' / split, names)
    (root / 'classes.txt').write_text('cat\ndog\n')


def yolo_beside(root):
    for split, names in (('train', 'abcd'), ('val', 'ef')):
        yolo(root / split, root / split, names)
    (root / 'classes.txt').write_text('cat\ndog\n')


def cvat_yolo(root):
    """Lists name images of the machine that exported them."""
    for split, names in (('train', 'abcd'), ('valid', 'ef')):
        folder = root / f'obj_{split}_data'
        yolo(folder, folder, names)
        (root / f'{split}.txt').write_text(''.join(
            f'data/{folder.name}/{name}.png\n' for name in names))
    (root / 'obj.names').write_text('cat\ndog\n')
    (root / 'obj.data').write_text('classes = 2\ntrain = data/train.txt\n')


def of_another_machine(root):
    ultralytics(root)
    (root / 'pets.yaml').write_text(
        'path: D:\\work\\pets\ntrain: images\\train\n'
        'val: /home/eve/pets/images/val\nnames: {0: cat, 1: dog}\n')


def cocos_own(root):
    for split, names in (('train', 'abcd'), ('val', 'ef')):
        files = [f'{name}.png' for name in names]
        coco(root / f'annotations/instances_{split}2017.json',
             root / f'{split}2017', files)
        coco(root / f'annotations/person_keypoints_{split}2017.json',
             root / f'{split}2017', files)
    (root / 'annotations/captions_train2017.json').write_text(
        '{"images": [], "annotations": []}')


def plain(root):
    for split, names in (('train', 'abcd'), ('val', 'ef')):
        coco(root / f'{split}.json', root / 'images' / split,
             [f'{name}.png' for name in names])


def voc_folders(root):
    voc(root / 'train', root / 'train', 'abcd')
    voc(root / 'test', root / 'test', 'ef')


def voc_sets(root):
    voc(root / 'JPEGImages', root / 'Annotations', 'abcdefg')
    lists = root / 'ImageSets' / 'Main'
    lists.mkdir(parents=True)
    for split, names in (('train', 'abcd'), ('val', 'ef'), ('test', 'g'),
                         ('cat_train', 'ab'), ('trainval', 'abcdef')):
        (lists / f'{split}.txt').write_text('\n'.join(names))


def cvat(root):
    coco(root / 'annotations/instances_default.json',
         root / 'images' / 'default', [f'{name}.png' for name in 'abcdef'])


def label_studio(root):
    coco(root / 'result.json', root / 'images',
         [f'{name}.png' for name in 'abcdef'], prefix='images/')


def voc_in_one(root):
    voc(root / 'images', root / 'annotations', 'abcdef')


def beside_images(root):
    voc(root, root, 'abcdef')


PAIRS = (roboflow_coco, roboflow_yolo, ultralytics, yolo_folders, yolo_beside,
         cvat_yolo, of_another_machine, cocos_own, plain, voc_folders,
         voc_sets)
SINGLE = (cvat, label_studio, voc_in_one, beside_images)


@pytest.mark.parametrize('write', [*PAIRS, *SINGLE],
                         ids=lambda write: write.__name__)
def test_a_layout(tmp_path, write):
    root = tmp_path / 'pets'
    write(root)
    layout = find_data(root)
    data = read_own_data(layout, tmp_path / 'c.py')
    assert not data.errors()
    assert data.train.names == NAMES
    found = {split: sorted(data_of.path_of(i).stem for i in data_of.images)
             for split, data_of in (('train', data.train), ('val', data.val))}
    if write in SINGLE:
        assert sorted(found['train'] + found['val']) == list('abcdef')
        assert len(found['val']) == 1
        assert layout.origin('val') == '20% of train, drawn by image'
    else:
        assert found == dict(train=list('abcd'), val=list('ef'))
    assert len(data.train.boxes) == len(found['train'])
    assert layout.name == 'pets'
    if 'test' in layout.parts and write is not voc_folders:
        assert len(read_split(layout, 'test').images) == 1


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_classes_are_chosen_in_all_splits(tmp_path):
    roboflow_coco(tmp_path)
    layout = find_data(tmp_path, only=['animal'],
                       join_classes=dict(animal=NAMES))
    data = read_own_data(layout, tmp_path / 'c.py')
    assert data.train.names == data.val.names == ('animal', )
    assert data.made
    assert len(data.train.boxes) == 4
    assert read_split(layout, 'test').names == ('animal', )
    with pytest.raises(ValueError, match='`exif` goes with labels'):
        read_split(find_data(tmp_path, exif='stored'), 'val')
    with pytest.raises(ValueError, match='`exif` up: expected shown or st'):
        find_data(tmp_path, exif='up')


def test_orders_of_classes_are_put_right(tmp_path):
    """The validation data follow the training data, both the checkpoint."""
    plain(tmp_path)
    change(tmp_path / 'val.json', lambda c: c['categories'].reverse())
    layout = find_data(tmp_path)
    data = read_own_data(layout, tmp_path / 'c.py')
    assert data.train.names == data.val.names == NAMES
    assert not data.errors()
    assert any('in the order of train' in finding.text
               for finding in data.findings['val'])
    data = read_own_data(layout, tmp_path / 'c.py', NAMES[::-1])
    assert data.train.names == data.val.names == NAMES[::-1]
    assert any('of the checkpoint' in finding.text
               for finding in data.findings['train'])
    data.write()
    written = json.loads(data.train.path.read_text())
    assert [each['name'] for each in written['categories']] == ['dog', 'cat']


def test_an_empty_superclass_is_an_error_with_its_remedy(tmp_path):
    plain(tmp_path)

    def add_root(content):
        for each in content['categories']:
            each['supercategory'] = 'pets-abc'
        content['categories'].insert(0, dict(id=9, name='pets-abc'))

    for split in ('train', 'val'):
        change(tmp_path / f'{split}.json', add_root)
    error, = read_own_data(find_data(tmp_path), tmp_path / 'c.py').errors()
    assert 'leave it out by `drop_class` pets-abc' in error
    assert any('`drop_class` pets-abc' in each.text for each in read_split(
        find_data(tmp_path), 'val').findings)
    layout = find_data(tmp_path, drop_class=['pets-abc'])
    assert not read_own_data(layout, tmp_path / 'c.py').errors()


def test_paths_of_a_coco_file_from_windows(tmp_path):
    label_studio(tmp_path)
    change(tmp_path / 'result.json', lambda c: [
        i.update(file_name=f'D:\\pets\\{i["file_name"]}'.replace('/', '\\'))
        for i in c['images']])
    data = read_own_data(find_data(tmp_path), tmp_path / 'c.py')
    assert not data.errors()
    assert all(data.train.path_of(i).is_file() for i in data.train.images)
    assert any('found by the ends' in finding.text
               for finding in data.findings['train'])


def test_the_test_data_serve_where_there_are_no_others(tmp_path):
    voc_folders(tmp_path)
    layout = find_data(tmp_path)
    assert layout.origin('val').endswith('test (for want of val)')
    # Asked for a share, the test data stay what they are.
    layout = find_data(tmp_path, 0.5)
    assert layout.origin('val') == '50% of train, drawn by image'
    with pytest.raises(ValueError, match='`split` dev: .* train, val'):
        read_split(find_data(tmp_path), 'dev')


def test_a_file_is_one_set_and_a_yaml_has_its_splits(tmp_path):
    plain(tmp_path)
    layout = find_data(tmp_path / 'train.json')
    assert set(layout.parts) == {'train'}
    assert layout.val_fraction == 0.2
    ultralytics(tmp_path)
    layout = find_data(tmp_path / 'pets.yaml')
    assert set(layout.parts) == {'train', 'val'}
    assert layout.name == 'pets'


class TestSplit:

    @pytest.fixture
    def data(self):
        count = 40
        content = dict(
            images=[dict(id=i, file_name=f'{i:02}.png', width=9, height=9)
                    for i in range(count)],
            annotations=[dict(id=i, image_id=i // 2, category_id=1,
                              bbox=[1, 1, 2, 2]) for i in range(2 * count)],
            categories=[dict(id=1, name='cat')])
        return from_content(content, 'a.json', '')

    def names(self, data):
        return {image['file_name'] for image in data.images}

    def test_by_image_and_seeded(self, data):
        one = split_by_image(data, 0.25)
        assert len(one['val'].images) == 10
        for part in one.values():
            ids = {image['id'] for image in part.images}
            assert {box['image_id'] for box in part.boxes} == ids
            assert len(part.boxes) == 2 * len(ids)
        data.images.reverse()
        again = split_by_image(data, 0.25)
        other = split_by_image(data, 0.25, seed=1)
        assert self.names(again['val']) == self.names(one['val'])
        assert self.names(other['val']) != self.names(one['val'])

    def test_neither_part_is_empty(self, data):
        for fraction, count in ((0.001, 1), (0.999, 39)):
            parts = split_by_image(data, fraction)
            assert len(parts['val'].images) == count
        del data.images[1:]
        with pytest.raises(ValueError, match='expected two or more'):
            split_by_image(data, 0.5)


class TestRefused:

    def refused(self, data, message, *fraction):
        with pytest.raises(ValueError, match=message) as caught:
            find_data(data, *fraction)
        return str(caught.value)

    def test_two_formats_have_a_command_each(self, tmp_path):
        roboflow_coco(tmp_path)
        roboflow_yolo(tmp_path)
        text = as_options(
            self.refused(tmp_path, 'several ways'),
            dict(train_ann='--train-ann', val_ann='--val-ann'))
        choices = text.split('Say which: ')[1].rstrip('.').split('; or ')
        assert len(choices) == 2
        for choice in choices:  # what is pasted is found
            words = shlex.split(choice)
            assert words[::2] == ['--train-ann', '--val-ann']
            layout = find_data(tmp_path, train_ann=words[1], val_ann=words[3])
            assert read_split(layout, 'train').images

    def test_two_files_for_one_split(self, tmp_path):
        plain(tmp_path)
        coco(tmp_path / 'train_old.json', tmp_path / 'images' / 'train',
             ['a.png'])
        text = self.refused(tmp_path, 'several ways')
        assert '`train_ann` train_old.json `val_ann` val.json' in text
        assert '`train_ann` train.json `val_ann` val.json' in text

    def test_files_that_name_no_split(self, tmp_path):
        for name in ('one.json', 'two.json'):
            coco(tmp_path / name, tmp_path / 'images', ['a.png'])
        text = self.refused(tmp_path, 'several ways')
        assert '`train_ann` one.json `val_ann` two.json' in text
        assert text.count('`val_ann`') == 2

    def test_nothing_there(self, tmp_path):
        (tmp_path / 'notes.json').write_text('{}')
        (tmp_path / 'README.txt').write_text('2 cats\n')
        self.refused(tmp_path, 'no annotations in a usual place')
        self.refused(tmp_path / 'gone', 'does not exist')

    @pytest.mark.parametrize('fraction', [0., 1., -1., float('nan')])
    def test_a_share_that_is_none(self, tmp_path, fraction):
        label_studio(tmp_path)
        self.refused(tmp_path, 'between 0 and 1', fraction)

    def test_a_share_of_what_is_split(self, tmp_path):
        plain(tmp_path)
        self.refused(tmp_path, 'is there to validate on', 0.2)
