"""A full shelf: more objects than COCO's evaluation counts."""
import json
import math

import cv2
import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric

from yolo_world_rep.datasets import annotations
from yolo_world_rep.detector import evaluation
from yolo_world_rep.detector.evaluation import evaluate
from yolo_world_rep.engine import ExactCocoMetric
from yolo_world_rep.inference import Backend, Predictor, Spec

SIDE, COUNT = 160, 150
BOXES = [[10 * (number % 15), 10 * (number // 15), 8, 8]
         for number in range(COUNT)]


class Shelf(Backend):
    """Finds all objects, in the contract ``decoded`` or ``nms``."""

    def __init__(self, contract='decoded', kept=300):
        super().__init__(
            Spec(('can', ), (SIDE, SIDE), contract=contract, mean=(0, 0, 0),
                 std=(1, 1, 1), pad_value=0, resize='letter',
                 max_detections=kept), 'shelf.test')

    def _run(self, images):
        xywh = np.array(BOXES, np.float32)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        scores = np.linspace(0.9, 0.1, COUNT, dtype=np.float32)
        if self.spec.contract == 'decoded':
            return boxes[None], scores[None, :, None]
        kept = self.spec.max_detections
        return (np.array([[kept]]), boxes[None, :kept], scores[None, :kept],
                np.zeros((1, kept), int))


def coco(count=COUNT):
    return dict(
        images=[dict(id=1, file_name='1.png', width=SIDE, height=SIDE)],
        categories=[dict(id=1, name='can')],
        annotations=[dict(id=number, image_id=1, category_id=1, bbox=box,
                          area=64, iscrowd=0)
                     for number, box in enumerate(BOXES[:count], 1)])


@pytest.fixture
def shelf(tmp_path):
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((SIDE, SIDE, 3), np.uint8))
    path = tmp_path / 'shelf.json'
    path.write_text(json.dumps(coco()))
    return path, tmp_path


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    texts = []
    for module in (annotations, evaluation):
        monkeypatch.setattr(module, 'log', lambda text, _: texts.append(text))
    return texts


def test_the_limit_follows_the_data(shelf):
    scores = evaluate(Predictor(Shelf(kept=100)), *shelf)
    assert scores['AP'] == pytest.approx(1)
    assert scores['max_detections'] == scores['detections'] * 2 == 300


def test_where_coco_suffices_it_is_cocos(shelf):
    path, images = shelf
    path.write_text(json.dumps(coco(90)))
    assert evaluate(Predictor(Shelf()), *shelf)['max_detections'] == 100


def test_a_limit_that_cuts_is_said(shelf, said):
    scores = evaluate(Predictor(Shelf(), max_detections=100), *shelf)
    assert scores['AP'] < 0.7
    assert scores['detections'] == 100
    assert '150 objects, and 100 detections' in said[0]


def test_a_file_that_cuts_is_said(shelf, said):
    assert evaluate(Predictor(Shelf('nms', 100)), *shelf)['AP'] < 0.7
    assert 'export --with-nms --max-det 300' in said[0]


def found():
    xywh = torch.tensor(BOXES, dtype=torch.float32)
    # Shifted by up to two pixels, so that AP is no round number.
    shift = torch.arange(COUNT)[:, None] % 3 * torch.ones(4)
    boxes = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1) + shift
    return dict(
        img_id=1, ori_shape=(SIDE, SIDE),
        pred_instances=dict(bboxes=boxes, scores=torch.linspace(.9, .1, COUNT),
                            labels=torch.zeros(COUNT, dtype=torch.int64)))


def measured(metric):
    metric.dataset_meta = dict(classes=('can', ))
    metric.process({}, [found()])
    return metric.evaluate(1)


@pytest.mark.parametrize('count', [90, COUNT])
def test_the_metric_is_cocos_and_exact(tmp_path, count):
    path = tmp_path / 'shelf.json'
    path.write_text(json.dumps(coco(count)))
    exact = measured(ExactCocoMetric(ann_file=str(path)))
    mmdets = measured(CocoMetric(ann_file=str(path),
                                 proposal_nums=(100, 1, 10)))
    for name, value in exact.items():
        assert value == pytest.approx(mmdets[name], abs=5.1e-4), name
    assert exact['coco/bbox_mAP_l'] == -1
    all_of_them = measured(ExactCocoMetric(
        ann_file=str(path), proposal_nums=(1, 10, 300), classwise=True))
    larger = all_of_them['coco/bbox_mAP'] > exact['coco/bbox_mAP']
    assert larger == (count > 100)
    assert all_of_them['coco/can_precision'] == all_of_them['coco/bbox_mAP']
    assert not math.isclose(all_of_them['coco/bbox_mAP'],
                            round(all_of_them['coco/bbox_mAP'], 3),
                            abs_tol=1e-6)


def test_other_metrics_are_mmdets(tmp_path):
    path = tmp_path / 'shelf.json'
    path.write_text(json.dumps(coco()))
    with pytest.raises(ValueError, match='take mmdet.CocoMetric'):
        ExactCocoMetric(ann_file=str(path), metric='proposal')
