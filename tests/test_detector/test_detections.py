import json
import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from yolo_world_rep.detector.detections import evaluate_detector


class Given:
    """A loader, a data set and a model of detections that are given."""

    metainfo = dict(classes=('bird', 'dog', 'cat'))

    def __init__(self, samples):
        self.dataset, self.samples = self, samples

    def __iter__(self):
        return iter([self.samples[:1], self.samples[1:]])

    @staticmethod
    def test_step(batch):
        return batch


def evaluated(samples, path, **evaluator):
    given = Given(samples)
    return evaluate_detector(given, given, dict(
        dict(type='mmdet.CocoMetric', ann_file=path), **evaluator))


@pytest.fixture
def truth(tmp_path):
    """Two images with a cat, one of them with a dog; no bird anywhere."""
    boxes = [(1, 1, 30), (2, 1, 30), (2, 2, 60)]
    coco = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=100, height=100)
                for i in (1, 2)],
        categories=[
            dict(id=i, name=n)
            for i, n in enumerate(('cat', 'dog', 'bird'), 1)
        ],
        annotations=[
            dict(
                id=i,
                image_id=image,
                category_id=category,
                bbox=[x, 10, 20, 20],
                area=400,
                iscrowd=0)
            for i, (image, category, x) in enumerate(boxes, 1)
        ])
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(coco))
    return path


def _found(image_id, *rows):
    sample = DetDataSample(metainfo=dict(img_id=image_id))
    table = torch.tensor(rows).reshape(-1, 3)
    x = table[:, 2:]
    sample.pred_instances = InstanceData(
        labels=table[:, 0].long(),
        scores=table[:, 1],
        bboxes=torch.cat([x, 0 * x + 10, x + 20, 0 * x + 30], 1))
    return sample


def test_perfect_detections_score_one(truth, capsys):
    found = [
        _found(1, (0, .9, 30)),
        _found(2, (0, .8, 30), (1, .7, 60)),
    ]
    precisions = evaluated(found, truth)
    # In the order of the file, whatever that of the data set's names.
    assert precisions.names == ('cat', 'dog', 'bird')
    assert precisions.mean() == precisions.mean(iou=0.5) == pytest.approx(1)
    assert capsys.readouterr().out == ''


def test_classes_count_their_own(truth):
    # Of two cats one is found; the dog is taken for a cat.
    found = [_found(1, (0, .9, 30)), _found(2, (0, .1, 60))]
    precisions = evaluated(found, truth)
    half = 51 / 101  # of COCO's recall steps, those up to one half
    assert precisions.mean(['cat'], 0.5) == pytest.approx(half, abs=1e-3)
    ap = precisions.by_class()
    assert ap['dog'] == 0
    assert math.isnan(ap['bird'])
    assert precisions.mean(['cat', 'dog']) == pytest.approx(
        half / 2, abs=1e-3)


def test_no_detections_score_nothing(truth):
    precisions = evaluated([_found(1), _found(2)], truth)
    assert precisions.figures()['AP'] == precisions.by_class()['cat'] == 0


def test_shifted_boxes_count_at_low_thresholds_only(truth):
    found = [_found(1, (0, .9, 34)), _found(2, (0, .8, 34))]  # IoU 2/3
    precisions = evaluated(found, truth)
    assert precisions.mean(['cat']) == pytest.approx(0.4)
    assert precisions.mean(['cat'], iou=0.5) == pytest.approx(1)


def test_what_other_metrics_say_is_not_known(truth):
    precisions = evaluated([_found(1, (0, .9, 30))], truth,
                           type='mmdet.LVISMetric')
    assert precisions.names == Given.metainfo['classes']
    assert all(map(math.isnan, precisions.figures().values()))
