import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmyolo.models.data_preprocessors import YOLOv5DetDataPreprocessor
from mmyolo.registry import TRANSFORMS

from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.letterbox import Preprocess, letterbox

# Height, width: odd, tall, wide, tiny, of the input's size, and such as
# mmyolo's rounding treats in its own way.
SHAPES = [(480, 640), (427, 640), (333, 500), (501, 333), (97, 31),
          (640, 640), (641, 639), (1200, 77), (13, 700), (375, 1242), (5, 5),
          (1080, 1920), (612, 612), (1, 9)]
SIZES = [(640, 640), (416, 640), (640, 384), (64, 96)]


def picture(shape, seed=0):
    return np.random.RandomState(seed).randint(
        0, 256, (*shape, 3), dtype=np.uint8)


def mmyolo_pipeline(image, size, resize, enlarge, pad_value):
    init_default_scope('mmyolo')
    scale = size[::-1]
    steps = [
        dict(
            type='LetterResize',
            scale=scale,
            allow_scale_up=enlarge and resize == 'letter',
            pad_val=dict(img=pad_value))
    ]
    if resize == 'keep_ratio':
        steps.insert(0, dict(type='YOLOv5KeepRatioResize', scale=scale))
    results = dict(img=image, img_shape=image.shape[:2])
    for step in steps:
        results = TRANSFORMS.build(step)(results)
    return results


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('resize, enlarge, pad_value',
                         [('keep_ratio', True, 114), ('letter', True, 0),
                          ('letter', False, 114)])
def test_it_is_mmyolos_pipeline_bit_for_bit(size, resize, enlarge,
                                            pad_value):
    for shape in SHAPES:
        if max(shape) / min(shape) > min(size) / 2:
            continue  # nothing of it would be left
        image = picture(shape)
        expected = mmyolo_pipeline(image, size, resize, enlarge, pad_value)
        found, placement = letterbox(image, size, resize, enlarge, pad_value)
        np.testing.assert_array_equal(found, expected['img'], str(shape))
        assert placement.shape == shape
        assert placement.scale == tuple(expected['scale_factor'])
        top, _, left, _ = expected['pad_param']
        assert placement.pad == (left, top)


def test_another_padding_or_interpolation_would_be_noticed():
    image = picture((333, 500))
    expected = mmyolo_pipeline(image, (640, 640), 'keep_ratio', True, 114)
    for wrong in (letterbox(image, (640, 640), pad_value=0),
                  letterbox(image[:, ::-1], (640, 640)),
                  letterbox(image, (640, 672))):
        assert wrong[0].shape != expected['img'].shape or (
            wrong[0] != expected['img']).any()
    large = picture((900, 1300))
    area = letterbox(large, (640, 640))[0]
    assert (area != letterbox(large, (640, 640), 'letter')[0]).any()


def test_an_image_that_vanishes_is_refused():
    with pytest.raises(ValueError, match='5000x1 pixels'):
        letterbox(picture((1, 5000)), (640, 640))


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_normalisation_is_mmyolos(order):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    spec = Spec(('a', ), (64, 96), channel_order=order, mean=mean, std=std)
    image = picture((50, 70))
    found, _ = Preprocess(spec)(image)
    boxed = letterbox(image, (64, 96))[0]
    preprocessor = YOLOv5DetDataPreprocessor(
        mean=mean, std=std, bgr_to_rgb=order == 'rgb', pad_size_divisor=32)
    data = dict(inputs=[torch.from_numpy(boxed).permute(2, 0, 1)])
    expected = preprocessor(data)['inputs'][0].numpy()
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def test_the_image_given_is_not_changed():
    image = picture((64, 96))
    kept = image.copy()
    Preprocess(Spec(('a', ), (64, 96)))(image)
    np.testing.assert_array_equal(image, kept)


def test_threads_of_opencv_make_no_difference():
    image = picture((1080, 1920))
    threads = cv2.getNumThreads()
    found = []
    for count in (1, 4):
        cv2.setNumThreads(count)
        found.append(letterbox(image, (640, 640))[0])
    cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*found)
