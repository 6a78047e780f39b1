import copy

import pytest
from builders import build_detector
from mmengine.config import Config

from yolo_world_rep.detector.spec_of_config import (
    letterbox_of_pipeline,
    spec_of_config,
)

NAMES = tuple('abcdefg')


def pipeline(size=(640, 640)):
    return [
        dict(type='LoadImageFromFile', backend_args=None),
        dict(type='YOLOv5KeepRatioResize', scale=size),
        dict(
            type='LetterResize',
            scale=size,
            allow_scale_up=False,
            pad_val=dict(img=114)),
        dict(type='LoadAnnotations', with_bbox=True, _scope_='mmdet'),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id', ))
    ]


def config(**dataset):
    dataset = dict(
        dict(
            type='YOLOv5CocoDataset',
            metainfo=dict(classes=NAMES),
            pipeline=pipeline()), **dataset)
    return Config(dict(test_dataloader=dict(dataset=dataset)))


@pytest.fixture(scope='module')
def model():
    return build_detector(
        'rep_conv',
        data_preprocessor=dict(
            type='YOLOv5DetDataPreprocessor',
            mean=[0., 1., 2.],
            std=[255., 254., 253.],
            bgr_to_rgb=True))


def test_all_of_it_is_read(model):
    spec = spec_of_config(config(pipeline=pipeline((640, 384))), model)
    assert spec.classes == NAMES
    assert spec.image_size == (384, 640)
    assert (spec.resize, spec.enlarge, spec.pad_value) == ('keep_ratio',
                                                           False, 114)
    assert (spec.channel_order, spec.mean, spec.std) == (
        'rgb', (0., 1., 2.), (255., 254., 253.))
    assert (spec.contract, spec.strides) == ('raw', (8, 16, 32))
    assert (spec.batch, spec.dynamic) == (None, True)
    assert (spec.score_threshold, spec.multi_label, spec.nms_pre,
            spec.iou_threshold, spec.max_detections) == (0.001, True, 30000,
                                                         0.7, 300)


def test_letter_resize_alone_and_its_default_padding():
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolo.LetterResize', scale=(160, 96)),
        dict(type='LoadText')
    ]
    assert letterbox_of_pipeline(steps) == dict(
        image_size=(96, 160), resize='letter', enlarge=True, pad_value=0)


@pytest.mark.parametrize('index, change, message', [
    (0, dict(color_type='grayscale'), 'LoadImageFromFile: color_type'),
    (1, dict(type='mmdet.Resize'), 'Resize: this step'),
    (1, dict(scale=(320, 320)), 'expected the scale of YOLOv5KeepRatio'),
    (2, dict(use_mini_pad=True), 'LetterResize: use_mini_pad=True'),
    (2, dict(half_pad_param=True), 'LetterResize: half_pad_param=True'),
    (2, dict(stretch_only=True), 'LetterResize: stretch_only=True'),
    (2, dict(allow_scale_up=True), 'allow_scale_up=True'),
    (2, dict(colour='red'), 'LetterResize: colour='),
    (2, dict(pad_val=dict(img=(1, 2, 3))), 'pad_val'),
    (3, dict(type='LoadText', prompt_format='a {}'), 'prompt_format'),
])
def test_steps_that_are_not_understood_are_named(index, change, message):
    steps = copy.deepcopy(pipeline())
    steps[index].update(change)
    with pytest.raises(ValueError, match=message):
        letterbox_of_pipeline(steps)


@pytest.mark.parametrize('change, message', [
    (dict(nms=dict(type='soft_nms', iou_threshold=0.7)), 'soft_nms'),
    (dict(nms=None), 'nms.iou_threshold not set'),
    (dict(class_scores=[0.1]), 'YOLOv8Head knows no class_scores'),
    (dict(min_bbox_size=0), 'min_bbox_size=0'),
    (dict(weighting=2), 'weighting=2'),
])
def test_post_processing_that_is_not_understood_is_named(
        model, change, message):
    other = copy.deepcopy(model)
    other.bbox_head.test_cfg.update(change)
    with pytest.raises(ValueError, match=message):
        spec_of_config(config(), other)


def test_a_size_that_the_strides_do_not_divide_is_refused(model):
    with pytest.raises(ValueError, match=r'\(100, 640\).*multiples of 32'):
        spec_of_config(config(pipeline=pipeline((640, 100))), model)


def test_names_of_the_checkpoint_come_first_and_must_agree(model):
    other = copy.deepcopy(model)
    other.dataset_meta = dict(classes=tuple('hijklmn'))
    assert spec_of_config(config(metainfo={}), other).classes == tuple(
        'hijklmn')
    with pytest.raises(ValueError, match='only the former has \'h\''):
        spec_of_config(config(), other)


def test_names_that_nobody_tells_or_of_another_number_are_refused(model):
    with pytest.raises(ValueError, match='7 classes.*data set 80'):
        spec_of_config(config(metainfo={}), model)
    with pytest.raises(ValueError, match='names of the 7 classes are unkn'):
        spec_of_config(config(metainfo={}, type='BaseDataset'), model)


def test_a_text_conditioned_model_is_named_after_its_texts():
    model = build_detector('text', num_prompts=5)
    names = tuple('vwxyz')
    spec = spec_of_config(config(metainfo=dict(classes=names)), model)
    assert spec.classes == names
