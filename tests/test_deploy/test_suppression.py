"""Suppression with ONNX's operators, against that of NumPy."""
import itertools

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from yolo_world_rep.deploy.suppression import (
    INPUTS,
    add_suppression,
    suppression_text,
)
from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.letterbox import Placement
from yolo_world_rep.inference.postprocess import PostProcess

CELLS = 60
# Nothing is clipped: the image lies far inside.
FAR = Placement((9999, 9999), (1., 1.), (-2000, -2000))


def boxes_and_scores(batch, classes, seed=0):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 200, (batch, CELLS, 2))
    half = rng.uniform(10, 60, (batch, CELLS, 2))
    boxes = np.concatenate([centre - half, centre + half], 2)
    return (boxes.astype(np.float32),
            rng.uniform(0, 1, (batch, CELLS, classes)).astype(np.float32))


def run(spec, boxes, scores, cells=0):
    model = onnx.parser.parse_model(suppression_text(spec, cells, 10, 18))
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options,
        providers=['CPUExecutionProvider'])
    return session.run(None, dict(all_boxes=boxes, all_scores=scores))


def assert_same(spec, boxes, scores, outputs):
    placements = [FAR] * len(boxes)
    expected = PostProcess(spec)([boxes, scores], placements)
    found = PostProcess(spec.with_(contract='nms'))(outputs, placements)
    for one, two in zip(found, expected):
        assert np.array_equal(one.labels, two.labels)
        assert np.allclose(one.scores, two.scores)
        assert np.allclose(one.boxes, two.boxes)
    return expected


@pytest.mark.parametrize(
    ('multi_label', 'classes', 'nms_pre', 'more'),
    [*itertools.product([True, False], [1, 4], [1000, 30], [{}]),
     *itertools.product([True, False], [4], [1000, 30], [
         dict(class_agnostic=True), dict(class_scores=dict(a=.99, d=.1)),
         dict(class_agnostic=True, class_scores=dict(a=0.99))])])
def test_as_numpy(multi_label, classes, nms_pre, more):
    spec = Spec(
        classes=tuple('abcd'[:classes]),
        image_size=(64, 96),
        batch=None,
        multi_label=multi_label,
        nms_pre=nms_pre,
        score_threshold=0.4,
        iou_threshold=0.5,
        max_detections=25,
        **more)
    boxes, scores = boxes_and_scores(3, classes)
    # One image has few detections, one has none.
    scores[1] *= 0.43
    scores[2] *= 0.39
    outputs = run(spec, boxes, scores)
    expected = assert_same(spec, boxes, scores, outputs)
    few, none = (len(each.scores) for each in expected[1:])
    if more:
        plain = spec.with_(class_agnostic=False, class_scores={})
        without, *_ = PostProcess(plain)([boxes, scores], [FAR] * 3)
        assert not np.array_equal(without.scores, expected[0].scores)
        return
    assert 0 < few < 25
    assert none == 0
    count, _, padding, labels = (output[1] for output in outputs)
    assert count.tolist() == [few]
    assert (padding[few:] == 0).all()
    assert (labels[few:] == -1).all()


def test_a_fixed_number_of_cells_needs_no_cap():
    spec = Spec(
        classes=tuple('ab'), image_size=(64, 96), score_threshold=0.4)
    assert 'cap' in suppression_text(spec, 0, 10, 18)
    assert 'cap' not in suppression_text(spec, CELLS, 10, 18)
    boxes, scores = boxes_and_scores(1, 2)
    assert_same(spec, boxes, scores, run(spec, boxes, scores, CELLS))


def test_joined_to_a_detector_each_operator_set_stands_once():
    detector = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> '
        'decoder (float[1, 3, 4] b, float[1, 3, 2] s) => '
        f'(float[1, 3, 4] {INPUTS[0]}, float[1, 3, 2] {INPUTS[1]}) '
        f'{{ {INPUTS[0]} = Identity(b) {INPUTS[1]} = Identity(s) }}')
    spec = Spec(classes=tuple('ab'), image_size=(64, 96), dynamic=True)
    joined = add_suppression(detector, spec)
    onnx.checker.check_model(joined, full_check=True)
    # Or ONNX Runtime's quantizer finds no operator set.
    assert [(entry.domain, entry.version)
            for entry in joined.opset_import] == [('', 18)]


def test_openvino_gives_the_same(tmp_path):
    openvino = pytest.importorskip('openvino')
    spec = Spec(
        classes=tuple('abcd'),
        image_size=(64, 96),
        batch=None,
        nms_pre=100,
        score_threshold=0.4,
        max_detections=25)
    text = suppression_text(spec, 0, 10, 18)
    path = tmp_path / 'suppression.onnx'
    onnx.save(onnx.parser.parse_model(text), path)
    compiled = openvino.compile_model(
        path, 'CPU', dict(INFERENCE_PRECISION_HINT='f32'))
    boxes, scores = boxes_and_scores(2, 4)
    scores[1] = 0
    found = compiled([boxes, scores])
    assert_same(spec, boxes, scores, [found[index] for index in range(4)])
