"""Are two sets of outputs, or of detections, the same?

NumPy alone. B images, N classes, P cells, K detections.
"""
from dataclasses import dataclass, field
from typing import Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

from yolo_world_rep.inference.matching import box_ious, pair_in_turn
from yolo_world_rep.inference.postprocess import Detections, decode
from yolo_world_rep.inference.prototypes import run_lengths, sigmoid
from yolo_world_rep.inference.spec import Spec
from yolo_world_rep.moved import moved_names

Arrays = Sequence[np.ndarray]


class Tolerance(NamedTuple):
    """How far a file may be from the model."""
    logits: float = 1e-3  # and coefficients and prototypes of masks
    distances: float = 1e-3  # in strides
    pixels: float = 0.1  # of boxes
    unmatched: float = 0.0  # share of detections without a counterpart
    # Share of differing pixels, of all masks together: a coordinate of a box
    # that is rounded to another pixel adds a line to its mask.
    masks: float = 2e-3

    @property
    def scores(self) -> float:
        """The sigmoid's slope is 1/4 at most."""
        return self.logits / 4


#: Weights rounded to FP16 move logits, boxes and what is just detected.
TOLERANCES = dict(fp32=Tolerance(), fp16=Tolerance(0.2, 0.2, 3.0, 0.05, 0.1))
# Of boxes that differ by rounding, IoUs differ by less.
IOU_EDGE = 0.01


class Difference(NamedTuple):
    """One line of a comparison."""
    what: str  # with the unit
    worst: float
    allowed: float

    @property
    def ok(self) -> bool:
        return bool(self.worst <= self.allowed)  # not for NaN


class Matching(NamedTuple):
    """Two sets of detections of the same images, paired."""
    expected: int = 0
    found: int = 0
    unmatched: int = 0  # of both
    at_edge: int = 0  # others, unpaired where rounding decides
    mask_union: int = 0  # pixels in either mask of a pair, of all pairs
    mask_differ: int = 0  # pixels in one of them only
    pixels: float = 0.0  # largest difference of a coordinate of a pair
    scores: float = 0.0  # largest difference of the scores of a pair

    def __add__(  # type: ignore[override]  # tuples are not joined
            self, other: 'Matching') -> 'Matching':
        """Both sets with those of other images."""
        return Matching(*(a + b for a, b in zip(self[:6], other[:6])),
                        *(max(a, b) for a, b in zip(self[6:], other[6:])))


@dataclass
class Report:
    """The result of comparing a file with its model."""
    runtime: str
    precision: str
    images: int
    threshold: float  # of the detections that were compared
    differences: List[Difference]
    matching: Matching
    notes: List[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(entry.ok for entry in self.differences)

    def verdict(self) -> str:
        """What exceeds the tolerances, in one line."""
        return '; '.join(
            f'{entry.what}: {entry.worst:.3g}, at most {entry.allowed:.3g} '
            f'allowed' for entry in self.differences if not entry.ok)


def _worst(found: Arrays, expected: Arrays) -> float:
    """The largest difference; infinite where shapes differ."""
    if [x.shape for x in found] != [x.shape for x in expected]:
        return float('inf')
    # nan is not to be lost in a maximum.
    return float(
        np.max([np.abs(x.astype(np.float64) - y).max()
                for x, y in zip(found, expected)]))


def _of_cells(levels: Arrays) -> np.ndarray:
    """Levels (B, C, h, w) to (B, P, C)."""
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in levels],
                          2).transpose(0, 2, 1)


def compare_outputs(found: Arrays, raw: Arrays, spec: Spec,
                    tolerance: Tolerance) -> List[Difference]:
    """A file's outputs, as of its contract, against the model's raw ones.

    With the contract 'nms' only the prototypes can be compared.
    """
    levels = len(spec.strides)
    logits, distances, coefficients = (
        raw[start:start + levels] for start in range(0, 3 * levels, levels))
    lines: List[Tuple[str, Arrays, Arrays, float]] = []
    masks = bool(spec.mask_channels)
    if spec.contract == 'raw':
        lines += [('logits', found[:levels], logits, tolerance.logits),
                  ('distances, strides', found[levels:2 * levels], distances,
                   tolerance.distances)]
        if masks:
            lines.append(('coefficients of masks', found[2 * levels:-1],
                          coefficients, tolerance.logits))
    elif spec.contract == 'decoded':
        boxes_BP4 = np.stack([
            decode([level[image] for level in distances], spec.strides)
            for image in range(len(distances[0]))])
        scores_BPN = sigmoid(_of_cells(logits))
        lines += [('scores of all cells', found[1:2], [scores_BPN],
                   tolerance.scores),
                  ('boxes of all cells, px', found[:1], [boxes_BP4],
                   tolerance.distances * max(spec.strides))]
        if masks:
            lines.append(('coefficients of masks', found[2:3],
                          [_of_cells(coefficients)], tolerance.logits))
    if masks:
        lines.append(('prototypes of masks', found[-1:], raw[-1:],
                      tolerance.logits))
    return [Difference(what, _worst(one, other), allowed)
            for what, one, other, allowed in lines]


def merge(lines: Sequence[Sequence[Difference]]) -> List[Difference]:
    """The worst of each line of several comparisons."""
    return [
        same[0]._replace(worst=float(np.max([line.worst for line in same])))
        for same in zip(*lines)]


def above(detections: Detections, threshold: float) -> Detections:
    return detections.take(detections.scores > threshold)


def pair_up(one: Detections, other: Detections,
            tolerance: Tolerance) -> List[Tuple[int, int]]:
    """Pairs of indices of detections alike in label, score and place."""
    away = np.abs(one.boxes[:, None] - other.boxes[None]).max(-1)
    apart = np.abs(one.scores[:, None] - other.scores[None])
    same = (one.labels[:, None] == other.labels[None]) & (
        apart <= tolerance.scores) & (away <= tolerance.pixels)
    return pair_in_turn(np.where(same, -away, -np.inf))


def _at_edge(index: int, own: Detections, other: Detections, spec: Spec,
             threshold: float, tolerance: Tolerance) -> bool:
    """Whether rounding may have decided that a detection is there."""
    box, score, label = (values[index] for values in own[:3])
    needed = max(threshold, spec.thresholds[label])
    if score - needed <= tolerance.scores:
        return True
    # Cut off, as the other has as many as are kept, and none is worse.
    if len(other.scores) >= spec.max_detections and (
            score - other.scores.min() <= tolerance.scores):
        return True
    for detections in (own, other):
        same = (detections.labels == label) | spec.class_agnostic
        if detections is own:
            same[index] = False
        overlaps = box_ious(box[None], detections.boxes[same])
        if (np.abs(overlaps - spec.iou_threshold) <= IOU_EDGE).any():
            return True
    return False


def _compare_masks(pairs: Iterable[Tuple[bytes, bytes]],
                   shape: Tuple[int, int]) -> Tuple[int, int]:
    """Pixels in either mask, and in only one, summed over pairs of masks."""
    from pycocotools import mask as coco
    union = differ = 0
    for pair in pairs:
        both = [run_lengths(counts, shape) for counts in pair]
        inside = int(coco.area(coco.merge(both, intersect=True)))
        total = int(coco.area(coco.merge(both)))
        union, differ = union + total, differ + total - inside
    return union, differ


def compare_detections(expected: Detections, found: Detections, spec: Spec,
                       threshold: float, tolerance: Tolerance,
                       shape: Tuple[int, int] = (0, 0)) -> Matching:
    """A file's detections in an image of a shape (h, w) against the model's.

    A detection without a counterpart is excused where its score, or its
    overlap with another, is so close to the threshold that rounding decides.
    """
    pairs = pair_up(expected, found, tolerance)
    one, two = [i for i, _ in pairs], [j for _, j in pairs]
    unmatched = at_edge = 0
    for own, other, paired in ((expected, found, one), (found, expected, two)):
        for index in set(range(len(own.scores))).difference(paired):
            edge = _at_edge(index, own, other, spec, threshold, tolerance)
            at_edge += edge
            unmatched += not edge
    masks = (0, 0)
    if expected.masks is not None and found.masks is not None:
        masks = _compare_masks(
            zip(expected.masks[one], found.masks[two]), shape)
    return Matching(
        len(expected.scores), len(found.scores), unmatched, at_edge, *masks,
        float(np.abs(expected.boxes[one] - found.boxes[two]).max(initial=0)),
        float(np.abs(expected.scores[one] - found.scores[two]).max(initial=0)))


__getattr__ = moved_names(__name__, {
    'ious': 'inference.matching.box_ious',
    'match': 'deploy.comparison.compare_detections'})
