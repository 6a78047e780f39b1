import numpy as np
import pytest
import torch
from builders import build_detector
from mmengine.config import ConfigDict

from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.letterbox import letterbox
from yolo_world_rep.inference.postprocess import (
    PostProcess,
    suppress,
    to_original,
)
from yolo_world_rep.inference.prototypes import sigmoid
from yolo_world_rep.models.dense_heads.lean_predictions import (
    allow_class_scores,
)

SIZE = (96, 160)
CLASSES = 7


@pytest.fixture(scope='module')
def head():
    head = build_detector('rep_conv', num_classes=CLASSES).bbox_head
    allow_class_scores(head)
    return head


def levels(seed=0, spread=3., num_classes=CLASSES, size=SIZE, batch=2):
    """Logits and distances as of a model that finds many things."""
    random = np.random.RandomState(seed)
    shapes = [(size[0] // s, size[1] // s) for s in (8, 16, 32)]
    logits = [
        (random.randn(batch, num_classes, *shape) * spread - 4).astype('f4')
        for shape in shapes
    ]
    distances = [(random.rand(batch, 4, *shape) * 6 - 0.5).astype('f4')
                 for shape in shapes]
    return logits, distances


def placements():
    return [
        letterbox(np.zeros((*shape, 3), np.uint8), SIZE)[1]
        for shape in ((75, 201), (333, 121))
    ]


def spec(**changes):
    return Spec(
        tuple(f'class {i}' for i in range(CLASSES)), SIZE, **changes)


def mmyolo(head, logits, distances, boxed, **cfg):
    metas = [
        dict(
            ori_shape=p.shape,
            scale_factor=p.scale,
            pad_param=np.array([p.pad[1], 0, p.pad[0], 0], np.float32))
        for p in boxed
    ]
    head.num_classes = logits[0].shape[1]
    return head.predict_by_feat(
        [torch.from_numpy(x) for x in logits],
        [torch.from_numpy(x) for x in distances],
        batch_img_metas=metas,
        rescale=True,
        cfg=ConfigDict(
            dict(
                multi_label=True,
                nms_pre=30000,
                score_thr=0.001,
                nms=dict(type='nms', iou_threshold=0.7),
                max_per_img=300), **cfg))


def decoded(logits, distances):
    """The contract's boxes and scores, by plain loops."""
    boxes, scores = [], []
    for stride, logit, distance in zip((8, 16, 32), logits, distances):
        for row in range(logit.shape[2]):
            for column in range(logit.shape[3]):
                left, top, right, bottom = distance[:, :, row, column].T
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                boxes.append(
                    np.stack([
                        x - stride * left, y - stride * top,
                        x + stride * right, y + stride * bottom
                    ], 1))
                scores.append(sigmoid(logit[:, :, row, column]))
    return [np.stack(rows, 1).astype('f4') for rows in (boxes, scores)]


def assert_same(found, expected):
    assert len(found.scores) == len(expected.scores) > 0
    np.testing.assert_array_equal(found.labels, expected.labels.numpy())
    np.testing.assert_allclose(
        found.scores, expected.scores.numpy(), rtol=1e-6)
    np.testing.assert_allclose(
        found.boxes, expected.bboxes.numpy(), rtol=0, atol=1e-3)


CASES = [
    dict(),
    dict(multi_label=False),
    dict(nms_pre=50),
    dict(score_threshold=0.2, iou_threshold=0.3),
    dict(max_detections=11),
    dict(class_agnostic=True),
    dict(class_scores={'class 1': 0.6, 'class 0': 0.05},
         score_threshold=0.2),
]


@pytest.mark.parametrize('contract', ['raw', 'decoded'])
@pytest.mark.parametrize('changes', CASES, ids=str)
def test_detections_are_mmyolos(head, contract, changes):
    logits, distances = levels()
    wanted = spec(contract=contract, **changes)
    outputs = [*logits, *distances] if contract == 'raw' else decoded(
        logits, distances)
    boxed = placements()
    expected = mmyolo(
        head,
        logits,
        distances,
        boxed,
        multi_label=wanted.multi_label,
        nms_pre=wanted.nms_pre,
        score_thr=wanted.score_threshold,
        class_scores=wanted.thresholds.tolist(),
        nms=dict(type='nms', iou_threshold=wanted.iou_threshold,
                 class_agnostic=wanted.class_agnostic),
        max_per_img=wanted.max_detections)
    for one, other in zip(PostProcess(wanted)(outputs, boxed), expected):
        assert_same(one, other)


@pytest.mark.parametrize('changes', [
    dict(iou_threshold=0.5), dict(multi_label=False), dict(nms_pre=40),
    dict(strides=(8, 16, 64)), dict(max_detections=20),
    dict(class_agnostic=True), dict(class_scores={'class 1': 0.6})
], ids=str)
def test_other_settings_detect_something_else(head, changes):
    logits, distances = levels()
    boxed = placements()
    expected = mmyolo(head, logits, distances, boxed)[0]
    found = PostProcess(spec(contract='raw', **changes))(
        [*logits, *distances], boxed)[0]
    with pytest.raises(AssertionError):
        assert_same(found, expected)


def test_one_class_is_one_label_a_cell(head):
    logits, distances = levels(num_classes=1)
    boxed = placements()
    expected = mmyolo(head, logits, distances, boxed)
    one = spec(contract='raw').with_(classes=('only', ))
    for found, other in zip(PostProcess(one)([*logits, *distances], boxed),
                            expected):
        assert_same(found, other)


def test_more_candidates_than_are_kept_before_the_suppression(head):
    # 80 classes: 168,000 scores, nearly all above 0.001.
    logits, distances = levels(
        spread=1.5, num_classes=80, size=(320, 320), batch=1)
    box = [letterbox(np.zeros((480, 640, 3), np.uint8), (320, 320))[1]]
    many = Spec(tuple(map(str, range(80))), (320, 320), contract='raw')
    expected = mmyolo(head, logits, distances, box)[0]
    assert len(expected.scores) == 300
    assert_same(PostProcess(many)([*logits, *distances], box)[0], expected)


def test_suppressed_outputs_are_cut_scaled_and_filtered():
    boxed = placements()[1:]
    found = np.full((1, 5, 4), 40, np.float32)
    found[0, :3] = [[70, 10, 80, 20], [0, 0, 200, 200], [72, 12, 90, 30]]
    outputs = [
        np.array([[3]]), found,
        np.array([[.9, .5, .1, 0, 0]], np.float32),
        np.array([[2, 0, 1, -1, -1]])
    ]
    nms = PostProcess(spec(contract='nms', score_threshold=0.05),
                      score_threshold=0.2)
    result = nms(outputs, boxed)[0]
    assert result.labels.tolist() == [2, 0]
    assert result.scores.tolist() == pytest.approx([.9, .5])
    (left, top), (sx, sy) = boxed[0].pad, boxed[0].scale
    np.testing.assert_allclose(
        result.boxes[0],
        [(70 - left) / sx, (10 - top) / sy, (80 - left) / sx,
         (20 - top) / sy],
        rtol=1e-5)
    np.testing.assert_allclose(result.boxes[1], [0, 0, 121, 333])


def test_nothing_found():
    logits, distances = levels()
    logits = [np.full_like(x, -20) for x in logits]
    for contract, outputs in (('raw', [*logits, *distances]),
                              ('decoded', decoded(logits, distances))):
        found = PostProcess(spec(contract=contract))(outputs, placements())
        for image in found:
            assert image.boxes.shape == (0, 4)
            assert image.scores.shape == image.labels.shape == (0, )


def test_a_batch_that_was_filled_up_is_cut():
    logits, distances = levels()
    found = PostProcess(spec(contract='raw'))([*logits, *distances],
                                              placements()[:1])
    assert len(found) == 1


def test_boxes_without_area_do_not_suppress_each_other():
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 9, 9]], np.float32)
    kept = suppress(boxes, np.array([.9, .8, .7]), np.zeros(3, int), .5, 9)
    assert kept.tolist() == [0, 1, 2]


def test_classes_do_not_suppress_each_other():
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (4, 1))
    labels = np.array([0, 1, 0, 1])
    kept = suppress(boxes, np.array([.9, .8, .7, .6]), labels, .5, 9)
    assert kept.tolist() == [0, 1]


def test_there_and_back():
    _, place = letterbox(np.zeros((333, 121, 3), np.uint8), SIZE)
    box = np.array([[10, 20, 100, 300]], np.float32)
    inside = box * np.array(place.scale * 2) + np.array(place.pad * 2)
    np.testing.assert_allclose(to_original(inside, place), box, rtol=1e-5)


@pytest.mark.parametrize('threshold', [-0.1, 1, 1.5])
def test_thresholds_outside_0_to_1_are_refused(threshold):
    with pytest.raises(ValueError, match=f'threshold {threshold}'):
        PostProcess(spec(), score_threshold=threshold)


def test_a_file_with_its_own_suppression_cannot_go_lower():
    with pytest.raises(ValueError, match='drops scores up to 0.05'):
        PostProcess(spec(contract='nms', score_threshold=0.05),
                    score_threshold=0.01)


def test_outputs_given_are_not_changed():
    logits, distances = levels()
    outputs = [*logits, *distances]
    kept = [x.copy() for x in outputs]
    PostProcess(spec(contract='raw'))(outputs, placements())
    for one, other in zip(outputs, kept):
        np.testing.assert_array_equal(one, other)
