import torch
from mmdet.structures import DetDataSample
from mmyolo.registry import MODELS


def _build():
    return MODELS.build(
        dict(
            type='YOLOWDetDataPreprocessor',
            mean=[0., 0., 0.],
            std=[255., 255., 255.],
            bgr_to_rgb=True))


def test_training_batch_is_normalized_and_keeps_its_texts():
    inputs = torch.zeros(2, 3, 4, 6, dtype=torch.uint8)
    inputs[:, 0] = 255  # blue, as images are read
    samples = dict(
        bboxes_labels=torch.zeros(1, 6),
        texts=[['a'], ['b']],
        is_detection=torch.tensor([1, 0]),
        masks=torch.zeros(1, 4, 6))
    batch = _build()(dict(inputs=inputs, data_samples=samples), training=True)
    assert batch['data_samples']['texts'] == [['a'], ['b']]
    assert batch['data_samples']['is_detection'].tolist() == [1, 0]
    assert 'masks' in batch['data_samples']
    assert batch['inputs'][:, :, 0, 0].tolist() == [[0, 0, 1]] * 2
    assert inputs.dtype == torch.uint8
    assert samples['texts'] == [['a'], ['b']]


def test_training_batch_without_texts_is_fine():
    batch = _build()(
        dict(
            inputs=torch.zeros(2, 3, 4, 6),
            data_samples=dict(bboxes_labels=torch.zeros(1, 6))),
        training=True)
    assert 'texts' not in batch['data_samples']


def test_test_samples_keep_their_texts():
    sample = DetDataSample(metainfo=dict(texts=['a']))
    batch = _build()(
        dict(inputs=[torch.zeros(3, 4, 6)], data_samples=[sample]))
    assert batch['data_samples'][0].texts == ['a']
