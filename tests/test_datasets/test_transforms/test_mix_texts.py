import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmyolo.registry import TRANSFORMS

from yolo_world_rep.datasets.transforms.mix_texts import merge_texts

VOCABULARIES = ([['cat'], ['dog', 'puppy']], [['dog', 'puppy'], ['cat']],
                [['bird'], ['cat'], ['dog']])


class _World:
    """Images filled with a value that says what their one object is."""
    names = ('cat', 'dog', 'bird')

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def get_data_info(self, index):
        label = index % len(self.texts[index])
        self.last = self.texts[index][label][0]
        value = self.names.index(self.texts[index][label][0]) + 1
        return dict(
            img=np.full((32, 32, 3), value, np.uint8),
            gt_bboxes=HorizontalBoxes(torch.tensor([[8., 8., 24., 24.]])),
            gt_bboxes_labels=np.array([label]),
            gt_ignore_flags=np.array([False]),
            texts=self.texts[index])


@pytest.mark.parametrize('cfg', [
    dict(type='MultiModalMosaic', img_scale=(32, 32)),
    dict(type='MultiModalMosaic9', img_scale=(32, 32)),
    dict(type='YOLOv5MultiModalMixUp'),
    dict(type='YOLOXMultiModalMixUp', img_scale=(32, 32))
], ids=lambda cfg: cfg['type'])
def test_every_box_keeps_its_name(cfg):
    np.random.seed(0)
    world = _World(VOCABULARIES)
    before = copy.deepcopy(world.texts)
    transform = TRANSFORMS.build(cfg)
    checked = 0
    for step in range(20):
        results = world.get_data_info(step % 3)
        results['dataset'] = world
        results = transform(results)
        boxes = results['gt_bboxes'].tensor.round().int().tolist()
        names = [results['texts'][i][0] for i in results['gt_bboxes_labels']]
        assert len(names) == len(boxes) > 1
        if cfg['type'].endswith('MixUp'):
            # Two whole images on one another: the names are those of both.
            drawn = world.last
            world.get_data_info(step % 3)
            assert names == [world.last, drawn]
            assert results['dataset'] is world
        else:
            for (x1, y1, x2, y2), name in zip(boxes, names):
                if x2 - x1 > 4 and y2 - y1 > 4:
                    value = results['img'][(y1 + y2) // 2, (x1 + x2) // 2, 0]
                    assert world.names[value - 1] == name
                    checked += 1
    assert checked > 20 or cfg['type'].endswith('MixUp')
    assert world.texts == before


def test_vocabularies_are_merged_without_repetition():
    images = [
        dict(texts=texts, gt_bboxes_labels=np.arange(len(texts)))
        for texts in VOCABULARIES
    ]
    merge_texts(images)
    merged = [['cat'], ['dog', 'puppy'], ['bird'], ['dog']]
    assert [image['texts'] for image in images] == [merged] * 3
    assert [image['gt_bboxes_labels'].tolist() for image in images
            ] == [[0, 1], [1, 0], [2, 0, 3]]
    assert VOCABULARIES[0] == [['cat'], ['dog', 'puppy']]


def test_images_without_boxes_and_without_texts_pass():
    images = [
        dict(texts=['a'], gt_bboxes_labels=np.zeros(0, np.int64)),
        dict(texts=['b'], gt_bboxes_labels=np.array([0]))
    ]
    merge_texts(images)
    assert images[0]['gt_bboxes_labels'].shape == (0, )
    assert images[1]['gt_bboxes_labels'].tolist() == [1]
    plain = [dict(gt_bboxes_labels=np.array([0]))] * 2
    merge_texts(plain)
    assert 'texts' not in plain[0]
