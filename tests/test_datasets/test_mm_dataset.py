import copy
import json

import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmyolo.registry import DATASETS

from yolo_world_rep.datasets import MultiModalDataset

CLASSES = ('cat', 'dog')


def _inner(tmp_path, test_mode=False, classes=CLASSES, count=3):
    path = tmp_path / 'ann.json'
    path.write_text(
        json.dumps(
            dict(
                metainfo=dict(classes=list(classes)) if classes else {},
                data_list=[
                    dict(img_path=f'{i}.jpg', instances=[])
                    for i in range(count)
                ])))
    return BaseDataset(
        str(path),
        data_prefix={},
        test_mode=test_mode,
        metainfo=dict(classes=classes) if classes else None)


def _texts(tmp_path, texts):
    path = tmp_path / 'texts.json'
    path.write_text(json.dumps(texts))
    return str(path)


def test_images_carry_texts_and_classes_stay(tmp_path):
    dataset = MultiModalDataset(
        _inner(tmp_path), _texts(tmp_path, [['cat', 'kitten'], ['dog']]))
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == CLASSES
    assert dataset[1]['texts'] == [['cat', 'kitten'], ['dog']]
    assert dataset[1]['img_path'] == '1.jpg'


@pytest.mark.parametrize('inner, outer, mixes', [(False, True, True),
                                                 (True, True, False),
                                                 (True, False, True)])
def test_mixing_gets_the_dataset_in_training_only(tmp_path, inner, outer,
                                                  mixes):
    dataset = MultiModalDataset(
        _inner(tmp_path, test_mode=inner), test_mode=outer)
    assert ('dataset' in dataset[0]) == mixes
    assert 'texts' not in dataset[0]


@pytest.mark.parametrize('texts, message', [
    (['cat'], '1 class texts for the 2 classes'),
    (['dog', 'cat'], "text 0 is 'dog', class 0 is 'cat'"),
    ({}, 'got dict'),
])
def test_texts_of_other_classes_are_refused(tmp_path, texts, message):
    path = _texts(tmp_path, texts)
    with pytest.raises(ValueError, match=f'texts.json.*{message}'):
        MultiModalDataset(_inner(tmp_path), path)


def test_other_user_errors_are_value_errors(tmp_path):
    with pytest.raises(ValueError, match='cannot be read'):
        MultiModalDataset(_inner(tmp_path), str(tmp_path / 'none.json'))
    with pytest.raises(ValueError, match='expected the config of a'):
        MultiModalDataset([])
    with pytest.raises(ValueError, match='names no classes'):
        MultiModalDataset(
            _inner(tmp_path, classes=None), _texts(tmp_path, ['cat']))


def test_other_names_for_the_classes_are_fine(tmp_path):
    texts = _texts(tmp_path, ['a feline', 'a canine'])
    assert MultiModalDataset(_inner(tmp_path), texts)[0]['texts']


def test_training_takes_another_image_where_the_pipeline_gives_none(tmp_path):

    def only_last(results):
        return results if results['img_path'] == '2.jpg' else None

    np.random.seed(0)
    dataset = MultiModalDataset(_inner(tmp_path), pipeline=[only_last])
    assert dataset[0]['img_path'] == '2.jpg'
    dataset = MultiModalDataset(
        _inner(tmp_path, test_mode=True), pipeline=[only_last])
    with pytest.raises(RuntimeError, match='image 0.*0.jpg'):
        dataset[0]


def test_mixed_dataset_tells_detection_from_grounding(tmp_path):
    for kind, flag in (('detection', 1), ('grounding', 0)):
        cfg = dict(
            type='MultiModalMixedDataset',
            dataset=_inner(tmp_path),
            dataset_type=kind,
            class_text_path=_texts(tmp_path, ['cat', 'dog']))
        assert DATASETS.build(cfg)[0]['is_detection'] == flag


def test_callers_config_is_left_alone(tmp_path):
    _inner(tmp_path)
    cfg = dict(
        dataset=dict(
            type=BaseDataset,
            ann_file=str(tmp_path / 'ann.json'),
            data_prefix={}))
    before = copy.deepcopy(cfg)
    assert len(MultiModalDataset(**cfg)) == 3
    assert cfg == before
