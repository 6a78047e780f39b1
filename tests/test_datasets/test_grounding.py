"""Captions with boxes, read as those who made the files meant them."""
import json

import pytest
from grounding_sets import (
    CAPTIONS,
    OBJECTS365,
    spans_of,
    write_general,
    write_mixed,
    write_objects365,
)
from mmyolo.registry import DATASETS

from yolo_world_rep.datasets.grounding import caption_phrase

MIXED, GENERAL = 'YOLOv5MixedGroundingDataset', 'YOLOv5GeneralGroundingDataset'


def build(kind, paths, **more):
    return DATASETS.build(dict(type=kind, pipeline=[], **paths, **more))


def change(paths, edit):
    path = paths['data_root'] + paths['ann_file']
    with open(path, encoding='utf-8') as file:
        content = json.load(file)
    edit(content)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(content, file)


def names(info):
    return [info['texts'][box['bbox_label']] for box in info['instances']]


def test_each_box_has_its_words(tmp_path):
    data = build(MIXED, write_mixed(tmp_path))
    infos = [data.get_data_info(i) for i in range(3)]
    assert [info['texts'] for info in infos] == [
        [['red ball'], ['box']], [['two above'], ['red ball']], [['a box']]]
    assert names(infos[0]) == [['red ball'], ['box'], ['red ball']]
    assert infos[0]['instances'][1]['bbox'] == [3, 5, 23, 30]
    assert [info['is_detection'] for info in infos] == [1, 1, 1]
    assert data.metainfo['classes'] == ('object', )


def test_words_that_the_boxes_spell_out(tmp_path):
    data = build(GENERAL, write_general(tmp_path))
    assert [data.get_data_info(i)['texts'] for i in range(2)] == [
        [['ball']], [['box'], ['a kite']]]
    assert data.get_data_info(0)['is_detection'] == 0


def test_boxes_that_are_none_and_images_without(tmp_path):
    """The text of a box that is left out stays as a negative one."""
    paths = write_mixed(tmp_path)

    def edit(content):
        boxes = content['annotations']
        boxes[0]['bbox'] = [-30, 5, 20, 20]  # outside
        boxes[1]['tokens_positive'] = []
        boxes[2].update(iscrowd=1, segmentation=[[1, 2, 3, 4, 5, 6]])
        boxes[3]['area'] = 0
        boxes[4]['ignore'] = 1
        del boxes[5]['area']
        content['images'][2]['height'] = 31

    change(paths, edit)
    data = build(MIXED, paths)
    assert len(data) == 3
    infos = [data.get_data_info(i) for i in range(3)]
    assert names(infos[0]) == [['red ball']]
    assert infos[0]['texts'] == [['red ball']]
    box, = infos[0]['instances']
    assert (box['ignore_flag'], box['mask']) == (1, [[1, 2, 3, 4, 5, 6]])
    assert infos[1]['texts'] == [['two above'], ['red ball']]
    assert infos[1]['instances'] == []
    assert names(infos[2]) == [['a box']]
    for settings, left in ((dict(filter_empty_gt=True), [0, 2]),
                           (dict(min_size=32), [0, 1])):
        data = build(MIXED, paths, filter_cfg=settings)
        assert [data[i]['img_id'] for i in range(len(data))] == left
    data = build(MIXED, paths, filter_cfg=settings, test_mode=True)
    assert len(data) == 3


def test_images_in_several_folders(tmp_path):
    paths = write_mixed(tmp_path)
    (tmp_path / 'more').mkdir()
    (tmp_path / 'images/1.png').rename(tmp_path / 'more/1.png')
    data = build(
        MIXED, {
            **paths, 'data_prefix': dict(
                img=['images', str(tmp_path / 'more')])
        })
    assert [data[i]['img_path'] for i in range(3)] == [
        str(tmp_path / place)
        for place in ('images/0.png', 'more/1.png', 'images/2.png')]
    with pytest.raises(ValueError, match='image 1.png is in none of the'):
        build(MIXED, {**paths, 'data_prefix': dict(img=['images'])})


@pytest.mark.parametrize('spans', [[[3, 99]], [[3, 3]], [3, 5], [[1, 2, 3]],
                                   [['a', 'b']], None, [[-2, 3]]])
def test_spans_outside_the_caption(spans):
    with pytest.raises(ValueError, match='tokens_positive='):
        caption_phrase('a red ball', spans)


@pytest.mark.parametrize('kind, edit, message', [
    (MIXED, lambda c: c['images'][1].pop('caption'), "KeyError 'caption'"),
    (MIXED, lambda c: c['annotations'][2].update(tokens_positive=[[0, 77]]),
     'annotation 2 of image 0: tokens_positive'),
    (MIXED, lambda c: c['images'][1].update(id=0), 'images share an id'),
    (MIXED, lambda c: c.pop('annotations'), "KeyError 'annotations'"),
    (GENERAL, lambda c: None, "KeyError 'tokens'"),
])
def test_files_of_another_form(tmp_path, kind, edit, message):
    paths = write_mixed(tmp_path)
    change(paths, edit)
    with pytest.raises(ValueError, match=message) as error:
        build(kind, paths)
    assert str(error.value).startswith(paths['data_root'])


def test_objects365_numbers_its_labels_by_id(tmp_path):
    data = build('YOLOv5Objects365V1Dataset', write_objects365(tmp_path))
    labels = [box['bbox_label'] for box in data[1]['instances']]
    assert [OBJECTS365[label] for label in labels] == [
        OBJECTS365[7 * i] for i in (1, 5, 9)]


def test_v3det_takes_the_names_of_its_file(tmp_path):
    paths = write_objects365(tmp_path)
    for kind in ('V3DetDataset', 'YOLOv5V3DetDataset'):
        data = build(kind, paths)
        assert data.metainfo['classes'] == OBJECTS365
        assert [box['bbox_label'] for box in data[1]['instances']] == [
            7, 35, 63]
    data = build('YOLOv5V3DetDataset', paths,
                 metainfo=dict(classes=(OBJECTS365[7], OBJECTS365[63])))
    assert [box['bbox_label'] for box in data[1]['instances']] == [0, 1]


def test_spans_of_the_tests_are_those_words():
    for caption in CAPTIONS:
        for word in caption.split():
            assert caption_phrase(caption, spans_of(caption, word)) == word
