"""What counts as the same detections."""
import numpy as np
import pytest

from yolo_world_rep.deploy.comparison import (
    TOLERANCES,
    Difference,
    Matching,
    Report,
    compare_detections,
    compare_outputs,
)
from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.postprocess import Detections

SPEC = Spec(classes=tuple('ab'), image_size=(64, 96), iou_threshold=0.5)
FP32 = TOLERANCES['fp32']


def detections(*rows):
    """Of rows x1, y1, x2, y2, score, label."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32),
                      table[:, 4].astype(np.float32),
                      table[:, 5].astype(np.int64))


ONE = detections([0, 0, 40, 40, 0.9, 0], [50, 0, 90, 40, 0.6, 1])


def compared(found, expected=ONE):
    return compare_detections(expected, found, SPEC, 0.05, FP32)


def test_order_and_rounding_do_not_matter():
    found = detections([50.05, 0, 90, 40, 0.6001, 1], [0, 0, 40, 40, 0.9, 0])
    matching = compared(found)
    assert matching[:4] == (2, 2, 0, 0)
    assert matching.pixels == pytest.approx(0.05, abs=1e-4)
    assert matching.scores == pytest.approx(1e-4, abs=1e-6)


@pytest.mark.parametrize('row', [[0, 0, 40.2, 40, 0.9, 0],
                                 [0, 0, 40, 40, 0.9, 1],
                                 [0, 0, 40, 40, 0.899, 0]])
def test_another_box_label_or_score_is_another_detection(row):
    found = detections(row, [50, 0, 90, 40, 0.6, 1])
    assert compared(found).unmatched == 2


def test_missing_and_additional():
    assert compared(detections([0, 0, 40, 40, 0.9, 0])).unmatched == 1
    more = detections([0, 0, 40, 40, 0.9, 0], [50, 0, 90, 40, 0.6, 1],
                      [0, 50, 9, 60, 0.3, 1])
    assert compared(more).unmatched == 1
    assert compared(detections()).unmatched == 2
    assert compared(detections(), detections()) == Matching()


def test_what_rounding_decides_is_excused():
    # Just above the threshold of the scores.
    barely = detections(*zip(*[[0, 50, 9, 60, 0.0501, 1]]))
    assert compared(barely, detections())[2:4] == (0, 1)
    # An overlap of about the threshold with a box of the same label.
    pair = detections([0, 0, 40, 40, 0.9, 0], [0, 20, 40, 40.01, 0.5, 0])
    single = detections([0, 0, 40, 40, 0.9, 0])
    assert compared(pair, single)[2:4] == (0, 1)
    # The same overlap with a box of another label is no excuse.
    other = detections([0, 0, 40, 40, 0.9, 1], [0, 20, 40, 40.01, 0.5, 0])
    alone = detections([0, 0, 40, 40, 0.9, 1])
    assert compared(other, alone)[2:4] == (1, 0)


def test_the_last_of_a_full_image_may_be_another():
    spec = SPEC.with_(max_detections=3)
    kept = [[0, 0, 40, 40, 0.9, 0], [50, 0, 90, 40, 0.6, 1]]
    one, other = ([0, 50, 9, 60, 0.3, 0], [20, 50, 29, 60, 0.3001, 0])

    def full(spec, first, last):
        return compare_detections(
            detections(*kept, first), detections(*kept, last), spec, 0.05,
            FP32)[2:4]

    assert full(spec, one, other) == (0, 2)
    # With room for more, both had to be there.
    assert full(SPEC, one, other) == (2, 0)
    # 0.3 is cut off by 0.31, but 0.31 not by 0.3.
    assert full(spec, one, [20, 50, 29, 60, 0.31, 0]) == (1, 1)
    # Lost, with nothing in its place.
    assert compare_detections(
        detections(*kept, one), detections(*kept), spec, 0.05,
        FP32)[2:4] == (1, 0)


def test_not_a_number_is_a_difference():
    assert not Difference('logits', float('nan'), 1e-3).ok
    raw = [np.zeros((1, 2, 2, 3)), np.zeros((1, 4, 2, 3))]
    spec = SPEC.with_(contract='raw', strides=(32, ))
    broken = [raw[0].copy(), raw[1]]
    broken[0][0, 1, 1, 1] = np.nan
    assert all(line.ok for line in compare_outputs(raw, raw, spec, FP32))
    lines = compare_outputs(broken, raw, spec, FP32)
    assert [line.ok for line in lines] == [False, True]
    report = Report('x', 'f32', 1, 0.05, lines, Matching())
    assert not report.ok
    assert report.verdict().startswith('logits: nan')


def test_another_shape_is_a_difference():
    raw = [np.zeros((1, 2, 2, 3)), np.zeros((1, 4, 2, 3))]
    spec = SPEC.with_(contract='raw', strides=(32, ))
    turned = [np.zeros((1, 2, 3, 2)), raw[1]]
    assert compare_outputs(turned, raw, spec, FP32)[0].worst == float('inf')
