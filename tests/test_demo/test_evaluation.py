import json

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from yolo_world_rep.demo.evaluation import Score, score

GROUPS = dict(a=['cat'], b=['dog'], both=['cat', 'dog'])


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
    scores = score(found, truth, GROUPS)
    for value in scores.values():
        assert value == pytest.approx(Score(1., 1.))
    assert capsys.readouterr().out == ''


def test_groups_count_their_own_classes(truth):
    # Of two cats one is found; the dog is taken for a cat.
    found = [_found(1, (0, .9, 30)), _found(2, (0, .1, 60))]
    scores = score(found, truth, GROUPS)
    half = 51 / 101  # of COCO's recall steps, those up to one half
    assert scores['a'].ap50 == pytest.approx(half, abs=1e-3)
    assert scores['b'] == Score(0., 0.)
    assert scores['both'].ap == pytest.approx(half / 2, abs=1e-3)


def test_no_detections_score_nothing(truth):
    scores = score([_found(1), _found(2)], truth, GROUPS)
    assert set(scores.values()) == {Score(0., 0.)}


def test_shifted_boxes_count_at_low_thresholds_only(truth):
    found = [_found(1, (0, .9, 34)), _found(2, (0, .8, 34))]  # IoU 2/3
    scores = score(found, truth, dict(a=['cat']))
    assert scores['a'] == pytest.approx(Score(0.4, 1.))
