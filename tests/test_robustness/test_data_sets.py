"""Annotations, labels and the configs that are made of them."""
import copy
import json

import cv2
import hostile
import numpy as np
import pytest
import yaml
from hostile import attempt, damages, edits, inputs, scratch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from yolo_world_rep.config.composition import Wishes, compose
from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.config.own_data import read_own_data
from yolo_world_rep.config.schedule import make_schedule
from yolo_world_rep.datasets.conversion import convert
from yolo_world_rep.reparam.folded_model import FoldedModel

COCO = dict(
    images=[
        dict(id=1, file_name='1.png', width=64, height=48),
        dict(id=2, file_name='2.png', width=64, height=48)
    ],
    annotations=[
        dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 20], area=400,
             iscrowd=0),
        dict(id=2, image_id=2, category_id=2, bbox=[1, 2, 30, 9], area=270,
             iscrowd=0, segmentation=[[1, 2, 31, 2, 31, 11]])
    ],
    categories=[dict(id=1, name='cat'), dict(id=2, name='dog')])


def write_images(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('1.png', '2.png'):
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))


def own_data(folder, annotations=('a.json', 'a.json')):
    train, val = annotations
    return read_own_data(find_data(folder, train_ann=train, val_ann=val),
                         folder / 'out' / 'c.py')


class TestCOCO:

    @inputs()
    @given(edit=edits(), more=st.one_of(st.none(), edits()))
    def test_contents(self, edit, more):
        content = edit(copy.deepcopy(COCO))
        if more:
            content = more(content)
        try:
            text = json.dumps(content)
        except (ValueError, RecursionError):
            return
        with scratch() as folder:
            write_images(folder)
            (folder / 'a.json').write_text(text)

            def check(result):
                if result.errors():
                    return
                # Nothing is lost between the file and what is checked but
                # what is said to be there twice.
                stated = json.loads(text)
                assert list(result.train.names) == [
                    each['name'].strip() for each in stated['categories']]
                twice = sum(int(finding.text.split()[0])
                            for finding in result.train.findings
                            if 'are listed before' in finding.text
                            and 'annotation(s)' in finding.text)
                assert len(result.train.boxes) + twice == len(
                    stated['annotations'])

            attempt('annotations: COCO', lambda: own_data(folder), folder,
                    names=['a.json'], check=check)

    @inputs()
    @given(damage=damages(), image=st.booleans())
    def test_bytes(self, damage, image):
        with scratch() as folder:
            write_images(folder)
            (folder / 'a.json').write_text(json.dumps(COCO))
            path = folder / ('1.png' if image else 'a.json')
            path.write_bytes(damage(path.read_bytes()))
            attempt('annotations: bytes', lambda: own_data(folder), folder,
                    names=['a.json'])

    def test_an_image_that_declares_too_many_pixels(self, tmp_path):
        write_images(tmp_path)
        data = bytearray((tmp_path / '1.png').read_bytes())
        data[16:24] = (100_000).to_bytes(4, 'big') * 2
        (tmp_path / '1.png').write_bytes(data)
        (tmp_path / 'a.json').write_text(json.dumps(COCO))
        assert any('cannot be read: 1.png' in error
                   for error in own_data(tmp_path).errors())


NUMBERS = st.one_of(
    st.floats(-0.5, 1.5).map(str), st.integers(-3, 9).map(str),
    st.sampled_from(['nan', 'inf', '1e999', '', 'x', '0x1', '½', '٣', '\x00',
                     '1_0', '9' * 400]))


class TestYOLO:

    @inputs()
    @given(lines=st.lists(st.lists(NUMBERS, max_size=9), max_size=3),
           damage=st.one_of(st.none(), damages()), edit=edits())
    def test_labels_and_yaml(self, lines, damage, edit):
        about = dict(path='.', train='images', val='images',
                     names=['cat', 'dog'])
        with scratch() as folder:
            write_images(folder / 'images')
            (folder / 'labels').mkdir()
            label = '\n'.join(map(' '.join, lines)) if lines else (
                '0 0.5 0.5 0.25 0.25')
            (folder / 'labels' / '1.txt').write_text(label)
            changed = edit(copy.deepcopy(about)) if not lines else about
            try:
                text = yaml.safe_dump(changed)
            except Exception:  # not every text can be written
                return
            data = text.encode()
            (folder / 'd.yaml').write_bytes(
                damage(data) if damage and not lines else data)

            def check(result):
                names = yaml.load(text, yaml.BaseLoader)['names']
                if isinstance(names, dict):
                    names = [names[str(i)] for i in range(len(names))]
                if not damage:
                    assert list(result.train.names) == [
                        ' '.join(name.split()) for name in names]

            attempt('labels: YOLO',
                    lambda: own_data(folder, ('d.yaml', 'd.yaml')), folder,
                    names=['d.yaml', '1.txt', '.json', folder.name],
                    check=check)

    @inputs()
    @given(place=st.integers(0, 4), value=NUMBERS, twice=st.booleans())
    def test_a_field_that_is_invalid(self, place, value, twice):
        """The same boxes, or a line with the file and its number."""
        fields = '0', '0.5', '0.5', '0.25', '0.25'
        changed = [*fields[:place], *[value] * (1 + twice),
                   *fields[place + 1:]]
        with scratch() as folder:
            write_images(folder / 'images')
            (folder / 'labels').mkdir()
            (folder / 'classes.txt').write_text('cat\ndog')
            (folder / 'labels' / '1.txt').write_text(
                f'{" ".join(fields)}\n{" ".join(changed)}')

            def check(result):
                box = result['train'].boxes[0]
                assert box['bbox'] == [24., 18., 16., 12.]
                assert len(result['train'].boxes) <= 2

            attempt('labels: YOLO, one field', lambda: convert(
                dict(train=(folder / 'labels', None)), folder), folder,
                names=['1.txt:2'], check=check)

    def test_anchors_that_stand_for_very_much(self, tmp_path):
        lines = ['a0: &a0 [x]'] + [
            f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]'
            for i in range(1, 12)]
        (tmp_path / 'd.yaml').write_text('\n'.join([*lines, 'names: *a11']))
        with pytest.raises(ValueError, match='d.yaml: names=.*class names'):
            own_data(tmp_path, ('d.yaml', 'd.yaml'))

    @pytest.mark.parametrize('names', [['cat', 'cat'], ['cat', ''], [[1]]])
    def test_names_that_would_merge_two_classes(self, tmp_path, names):
        write_images(tmp_path / 'images')
        (tmp_path / 'd.yaml').write_text(yaml.safe_dump(dict(
            path='.', train='images', val='images', names=names)))
        with pytest.raises(ValueError, match='d.yaml'):
            own_data(tmp_path, ('d.yaml', 'd.yaml'))

    def test_an_empty_line_among_the_names(self, tmp_path):
        """It would give every later class the label before its own."""
        write_images(tmp_path)
        (tmp_path / 'l.txt').write_text('1.png')
        (tmp_path / 'classes.txt').write_text('cat\n\ndog\n')
        with pytest.raises(ValueError, match='class 1 has no name'):
            own_data(tmp_path, ('l.txt', 'l.txt'))


XML = """<annotation><filename>1.png</filename>
<size><width>64</width><height>48</height></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax>
<ymax>30</ymax></bndbox></object></annotation>"""


class TestVOC:

    @inputs()
    @given(damage=st.one_of(st.none(), damages()), name=hostile.names)
    def test_bytes(self, damage, name):
        from xml.sax.saxutils import escape
        text = XML.replace('>cat<', f'>{escape(name)}<')
        with scratch() as folder:
            write_images(folder)
            data = text.encode('utf-8', 'replace')
            (folder / '1.xml').write_bytes(damage(data) if damage else data)
            attempt('labels: VOC',
                    lambda: convert({'train': (folder, None)}, folder),
                    folder, names=['1.xml', folder.name])

    @inputs()
    @given(field=st.sampled_from(['name', 'xmin', 'ymax', 'width', 'filename',
                                  'bndbox', 'object', 'size', 'annotation']),
           value=st.one_of(st.none(), NUMBERS))
    def test_a_field_that_is_invalid(self, field, value):
        """The same box, or a line with the file; None is a missing field."""
        import re
        from xml.sax.saxutils import escape
        text = '' if value is None else (
            f'<{field}>{escape(value)}</{field}>')
        with scratch() as folder:
            write_images(folder)
            (folder / '1.xml').write_text(re.sub(
                f'<{field}>.*?</{field}>', lambda found: text, XML,
                flags=re.S))

            def check(result):
                for box in result['train'].boxes:
                    x, y, width, height = box['bbox']
                    if field not in ('xmin', 'ymax'):
                        assert (x, y, width, height) == (1, 2, 19, 28)

            attempt('labels: VOC, one field',
                    lambda: convert({'train': (folder, None)}, folder),
                    folder, names=['1.xml'], check=check)

    def test_entities_that_stand_for_very_much(self, tmp_path):
        entities = ['<!ENTITY a0 "ha">'] + [
            f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)]
        write_images(tmp_path)
        (tmp_path / '1.xml').write_text(
            f'<!DOCTYPE x [{"".join(entities)}]>'
            + XML.replace('>cat<', '>&a11;<'))
        with pytest.raises(ValueError, match='1.xml'):
            convert({'train': (tmp_path, None)}, tmp_path)


def config_of(folder, names):
    """The config for classes of these names, read again."""
    content = copy.deepcopy(COCO)
    content['categories'] = [
        dict(id=i, name=name) for i, name in enumerate(names, 1)]
    content['annotations'] = content['annotations'][:1]
    write_images(folder)
    (folder / 'a.json').write_text(json.dumps(content))
    data = own_data(folder)
    model = FoldedModel(folder / 'm.pth', 's', 'rep_conv', True, 512,
                        len(names), tuple(names))
    out = folder / 'out'
    out.mkdir(exist_ok=True)
    text = compose(data, model, Wishes(), make_schedule(2), out / 'c.py')
    (out / 'c.py').write_text(text, encoding='utf-8')
    return Config.fromfile(str(out / 'c.py'))


class TestConfigs:

    @inputs(0.5)
    @given(names=st.lists(hostile.names, min_size=1, max_size=4))
    def test_names(self, names):
        """As they are, whatever the config language makes of braces."""
        with scratch() as folder:

            def check(cfg):
                assert list(cfg.class_names) == names
                dataset = cfg.train_dataloader.dataset
                assert list(dataset.metainfo.classes) == names

            attempt('configs: class names',
                    lambda: config_of(folder / 'out', names), folder,
                    folder / 'out', check=check)

    @pytest.mark.parametrize('name', [
        '{{ fileBasename }}', '{{$HOME:x}}', '{{{ fileExtname }}}'])
    def test_names_that_mmengine_would_replace(self, tmp_path, name):
        assert config_of(tmp_path, [name]).class_names == (name, )

    @pytest.mark.parametrize('count', [1, 21_841])
    def test_how_many(self, tmp_path, count):
        names = [f'class {i}' for i in range(count)]
        with hostile.time_limit(hostile.SECONDS):
            cfg = config_of(tmp_path, names)
        assert list(cfg.class_names) == names
        assert cfg.num_classes == len(cfg.palette) == count
