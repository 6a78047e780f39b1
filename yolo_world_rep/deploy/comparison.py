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
    """How far a file may be from the model.

    Args:
        logits (float): Of the logits, and of the coefficients and
            prototypes of masks.
        distances (float): Of the distances, in strides.
        pixels (float): Of the boxes.
        unmatched (float): Share of detections without a counterpart.
        masks (float): Share of the pixels of masks that may differ: of all
            together, for a coordinate of a box that is rounded to another
            pixel adds a line to a mask.
    """
    logits: float = 1e-3
    distances: float = 1e-3
    pixels: float = 0.1
    unmatched: float = 0.0
    masks: float = 2e-3

    @property
    def scores(self) -> float:
        """Of the scores: the sigmoid's slope is 1/4 at most."""
        return self.logits / 4


#: Weights rounded to FP16 move logits, boxes and what is just detected.
TOLERANCES = dict(
    fp32=Tolerance(), fp16=Tolerance(0.2, 0.2, 3.0, 0.05, 0.1))
# Of boxes that differ by rounding, IoUs differ by less.
IOU_EDGE = 0.01


class Difference(NamedTuple):
    """One line of a comparison.

    Args:
        what (str): In words, with the unit.
        worst (float): The largest difference.
        allowed (float): The tolerance.
    """
    what: str
    worst: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether it is within; not a number is not."""
        return bool(self.worst <= self.allowed)


class Matching(NamedTuple):
    """Two sets of detections of the same images, paired.

    Args:
        expected (int): Detections of the one.
        found (int): Detections of the other.
        unmatched (int): Of both, without a counterpart.
        at_edge (int): Unmatched for a threshold that is as near as the
            tolerance, not among ``unmatched``.
        mask_union (int): Pixels in either mask of a pair, of all pairs.
        mask_differ (int): Pixels in one of them only.
        pixels (float): Largest difference of a coordinate of a pair.
        scores (float): Largest difference of the scores of a pair.
    """
    expected: int = 0
    found: int = 0
    unmatched: int = 0
    at_edge: int = 0
    mask_union: int = 0
    mask_differ: int = 0
    pixels: float = 0.0
    scores: float = 0.0

    def __add__(  # type: ignore[override]  # tuples are not joined
            self, other: 'Matching') -> 'Matching':
        """Of more images."""
        return Matching(
            *(a + b for a, b in zip(self[:6], other[:6])),
            *(max(a, b) for a, b in zip(self[6:], other[6:])))


@dataclass
class Report:
    """What a comparison of a file with its model found.

    Args:
        runtime (str): That ran the file.
        precision (str): That it computed in.
        images (int): Number of images.
        threshold (float): Detections with scores above it were compared.
        differences (list[Difference]): Line by line.
        matching (Matching): The detections.
        notes (list[str]): What the user should know.
    """
    runtime: str
    precision: str
    images: int
    threshold: float
    differences: List[Difference]
    matching: Matching
    notes: List[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all is within the tolerances."""
        return all(entry.ok for entry in self.differences)

    def verdict(self) -> str:
        """What is beyond the tolerances, in one line."""
        return '; '.join(
            f'{entry.what}: {entry.worst:.3g}, at most {entry.allowed:.3g} '
            f'allowed' for entry in self.differences if not entry.ok)


def _worst(found: Arrays, expected: Arrays) -> float:
    """Largest difference; infinite where shapes differ."""
    if [x.shape for x in found] != [x.shape for x in expected]:
        return float('inf')
    # nan is not to be lost in a maximum.
    return float(
        np.max([
            np.abs(x.astype(np.float64) - y).max()
            for x, y in zip(found, expected)
        ]))


def _of_cells(levels: Arrays) -> np.ndarray:
    """Levels (B, C, h, w) to (B, P, C)."""
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in levels],
                          2).transpose(0, 2, 1)


def compare_outputs(found: Arrays, raw: Arrays, spec: Spec,
                    tolerance: Tolerance) -> List[Difference]:
    """A file's outputs against the model's logits and distances.

    Args:
        found (Sequence[np.ndarray]): In the order of ``spec.contract``.
        raw (Sequence[np.ndarray]): In the order of the 'raw' contract.
        spec (Spec): Of the file.
        tolerance (Tolerance): What is allowed.

    Returns:
        list[Difference]: Of 'nms', which has nothing else in common, that
        of the prototypes alone.
    """
    levels = len(spec.strides)
    logits, distances, coefficients = (
        raw[start:start + levels] for start in range(0, 3 * levels, levels))
    of_masks = [
        Difference('prototypes of masks', _worst(found[-1:], raw[-1:]),
                   tolerance.logits)
    ] if spec.mask_channels else []
    if spec.contract == 'raw':
        if of_masks:
            of_masks.insert(
                0,
                Difference('coefficients of masks',
                           _worst(found[2 * levels:3 * levels], coefficients),
                           tolerance.logits))
        return [
            Difference('logits', _worst(found[:levels], logits),
                       tolerance.logits),
            Difference('distances, strides',
                       _worst(found[levels:2 * levels], distances),
                       tolerance.distances), *of_masks
        ]
    if spec.contract == 'nms':
        return of_masks
    boxes_BP4 = np.stack([
        decode([level[image] for level in distances], spec.strides)
        for image in range(len(distances[0]))
    ])
    scores_BPN = sigmoid(_of_cells(logits))
    if of_masks:
        of_masks.insert(
            0,
            Difference('coefficients of masks',
                       _worst(found[2:3], [_of_cells(coefficients)]),
                       tolerance.logits))
    return [
        Difference('scores of all cells', _worst(found[1:2], [scores_BPN]),
                   tolerance.scores),
        Difference('boxes of all cells, px', _worst(found[:1], [boxes_BP4]),
                   tolerance.distances * max(spec.strides)), *of_masks
    ]


def merge(lines: Sequence[Sequence[Difference]]) -> List[Difference]:
    """The worst of each line of several comparisons."""
    return [
        same[0]._replace(worst=float(np.max([line.worst for line in same])))
        for same in zip(*lines)
    ]


def above(detections: Detections, threshold: float) -> Detections:
    """Those with higher scores."""
    return detections.take(detections.scores > threshold)


def pair_up(one: Detections, other: Detections,
            tolerance: Tolerance) -> List[Tuple[int, int]]:
    """Indices of detections of the same label, score and place."""
    away = np.abs(one.boxes[:, None] - other.boxes[None]).max(-1)
    apart = np.abs(one.scores[:, None] - other.scores[None])
    same = (one.labels[:, None] == other.labels[None]) & (
        apart <= tolerance.scores) & (away <= tolerance.pixels)
    return pair_in_turn(np.where(same, -away, -np.inf))


def _at_edge(index: int, own: Detections, other: Detections, spec: Spec,
             threshold: float, tolerance: Tolerance) -> bool:
    """Whether rounding may have decided that a detection is there."""
    box, score, label = (values[index] for values in own[:3])
    if score - threshold <= tolerance.scores:
        return True
    # Cut off, as the other has as many as are kept, and none is worse.
    if len(other.scores) >= spec.max_detections and (
            score - other.scores.min() <= tolerance.scores):
        return True
    for detections in (own, other):
        same = detections.labels == label
        if detections is own:
            same[index] = False
        overlaps = box_ious(box[None], detections.boxes[same])
        if (np.abs(overlaps - spec.iou_threshold) <= IOU_EDGE).any():
            return True
    return False


def _compare_masks(pairs: Iterable[Tuple[bytes, bytes]],
                   shape: Tuple[int, int]) -> Tuple[int, int]:
    """Pixels in either mask, and in one only, of pairs of masks."""
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
    """A file's detections in an image against the model's.

    A detection without a counterpart is excused where its score, or its
    overlap with another, is so near to the threshold that rounding decides.

    Args:
        expected (Detections): Of the model, above the threshold.
        found (Detections): Of the file, above the threshold.
        spec (Spec): Thresholds of the suppression.
        threshold (float): Of the scores.
        tolerance (Tolerance): What is the same.
        shape (tuple[int, int]): Height and width of the image, for masks.
    """
    pairs = pair_up(expected, found, tolerance)
    unmatched = at_edge = 0
    for own, other, paired in ((expected, found, {i for i, _ in pairs}),
                               (found, expected, {j for _, j in pairs})):
        for index in set(range(len(own.scores))) - paired:
            edge = _at_edge(index, own, other, spec, threshold, tolerance)
            at_edge += edge
            unmatched += not edge
    one, two = (list(indices) for indices in zip(*pairs)) if pairs else ([],
                                                                          [])
    masks = (0, 0)
    if expected.masks is not None and found.masks is not None:
        masks = _compare_masks(
            zip(expected.masks[one], found.masks[two]), shape)
    return Matching(
        len(expected.scores), len(found.scores), unmatched, at_edge, *masks,
        float(np.abs(expected.boxes[one] - found.boxes[two]).max(initial=0)),
        float(
            np.abs(expected.scores[one] - found.scores[two]).max(initial=0)))


__getattr__ = moved_names(__name__, {
    'ious': 'inference.matching.box_ious',
    'match': 'deploy.comparison.compare_detections'
})
