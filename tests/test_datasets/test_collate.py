import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import FUNCTIONS
from mmengine.structures import InstanceData

from yolo_world_rep.datasets import yolow_collate


def _item(labels, texts=None, is_detection=None, masks=False):
    sample = DetDataSample()
    boxes = torch.arange(4 * len(labels)).float().reshape(-1, 4)
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(boxes), labels=torch.tensor(labels))
    if masks:
        sample.gt_instances.masks = torch.zeros(len(labels), 4, 4)
    meta = dict(texts=texts, is_detection=is_detection)
    sample.set_metainfo({k: v for k, v in meta.items() if v is not None})
    return dict(inputs=torch.zeros(3, 8, 12), data_samples=sample)


def test_batch_carries_boxes_with_image_index_texts_and_flags():
    batch = yolow_collate([
        _item([5, 1], ['a', 'b'], 1, masks=True),
        _item([3], ['c', 'd'], 0, masks=True)
    ])
    assert batch['inputs'].shape == (2, 3, 8, 12)
    samples = batch['data_samples']
    assert samples['texts'] == [['a', 'b'], ['c', 'd']]
    assert samples['is_detection'].tolist() == [1, 0]
    assert samples['masks'].shape == (3, 4, 4)
    assert samples['bboxes_labels'][:, :2].tolist() == [[0, 5], [0, 1],
                                                        [1, 3]]
    assert samples['bboxes_labels'][2, 2:].tolist() == [0, 1, 2, 3]


def test_without_texts_it_is_the_collate_of_mmyolo():
    batch = yolow_collate([_item([5]), _item([3])])
    assert set(batch['data_samples']) == {'bboxes_labels'}


def test_images_of_several_sizes_stay_a_list():
    batch = yolow_collate([_item([5]), _item([3])], use_ms_training=True)
    assert isinstance(batch['inputs'], list)


def test_scope_that_inherited_configs_stamp_is_accepted():
    collate = FUNCTIONS.get('yolow_collate')
    assert collate([_item([5])], _scope_='mmyolo')['inputs'].shape[0] == 1


def test_different_numbers_of_texts_are_refused():
    with pytest.raises(ValueError, match=r'\[1, 2\] texts.*padding_to_max'):
        yolow_collate([_item([0], ['a']), _item([0], ['a', 'b'])])
    with pytest.raises(ValueError, match='1 of 2 images.*meta_keys'):
        yolow_collate([_item([0], ['a']), _item([0])])
