"""From the outputs of any contract to detections in the original image.

The numbers are those of mmyolo's YOLOv8 head, by NumPy alone.

Shape suffixes: N classes, P cells of all levels, C candidates, K detections.
"""
import math
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from .letterbox import Placement
from .spec import Spec

# Candidates looked at together by the suppression.
BLOCK = 2048


class Detections(NamedTuple):
    """What was found in an image, the best first.

    Args:
        boxes (np.ndarray): (K, 4), float32, corners x1, y1, x2, y2 in
            pixels of the original image.
        scores (np.ndarray): (K, ), float32.
        labels (np.ndarray): (K, ), int64.
    """
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), without overflow."""
    tail = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, tail) / (1 + tail)


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
             iou_threshold: float, limit: int) -> np.ndarray:
    """Greedy suppression within each class, up to so many survivors.

    A box goes when its IoU with a better one of its class that stays is
    above the threshold (0/0 is not). It ends with the last survivor that
    is wanted, which makes it fast where there are many candidates.

    Args:
        boxes (np.ndarray): (C, 4), the best first.
        scores (np.ndarray): (C, ), falling.
        labels (np.ndarray): (C, ).
        iou_threshold (float): 0..1.
        limit (int): Survivors, at most.

    Returns:
        np.ndarray: Indices of the survivors, the best first.
    """
    assert (np.diff(scores) <= 0).all(), 'the best come first'
    # One row a coordinate: what is sliced below lies together.
    corners = np.ascontiguousarray(boxes.T)
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])
    kept: List[int] = []

    def overlapped(index: int, others: slice) -> np.ndarray:
        """Which others the box puts out."""
        x1, y1, x2, y2 = corners[:, index]
        width = np.minimum(x2, corners[2, others]) - np.maximum(
            x1, corners[0, others])
        height = np.minimum(y2, corners[3, others]) - np.maximum(
            y1, corners[1, others])
        inter = width.clip(0) * height.clip(0)
        union = areas[index] + areas[others] - inter
        with np.errstate(divide='ignore', invalid='ignore'):
            above = inter / union > iou_threshold
        return above & (labels[others] == labels[index])

    for start in range(0, len(scores), BLOCK):
        stop = min(start + BLOCK, len(scores))
        alive = np.ones(stop - start, bool)
        for index in kept:
            alive &= ~overlapped(index, slice(start, stop))
        place = 0
        while True:
            following = alive[place:].argmax() if place < len(alive) else 0
            place += int(following)
            if place >= len(alive) or not alive[place]:
                break
            kept.append(start + place)
            if len(kept) == limit:
                return np.array(kept)
            rest = slice(start + place + 1, stop)
            alive[place + 1:] &= ~overlapped(start + place, rest)
            place += 1
    return np.array(kept, dtype=np.int64)


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` largest, the largest first."""
    if len(scores) > count:
        chosen = np.argpartition(-scores, count - 1)[:count]
        chosen.sort()  # so that of equal ones the first stays the first
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind='stable')]


def _above(values: np.ndarray, threshold: float,
           multi_label: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Row and column of the (rows, columns) that are candidates."""
    if multi_label and values.shape[1] > 1:
        return np.divmod(
            np.flatnonzero(values.ravel() > threshold), values.shape[1])
    labels = values.argmax(1)
    rows = np.flatnonzero(values[np.arange(len(values)), labels] > threshold)
    return rows, labels[rows]


def _candidates_of_raw(
        outputs: Sequence[np.ndarray], spec: Spec, threshold: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and labels of one image's logits and distances."""
    levels = len(spec.strides)
    # A little lower, so that the scores decide and not the rounding here.
    low = threshold * (1 - 1e-4)
    floor = math.log(low / (1 - low)) if 0 < low < 1 else -np.inf
    found = []
    for stride, logits, distances in zip(spec.strides, outputs[:levels],
                                         outputs[levels:]):
        _, height, width = logits.shape
        cells, labels = _above(
            logits.reshape(len(logits), -1).T, floor, spec.multi_label)
        scores = sigmoid(logits.reshape(len(logits), -1)[labels, cells])
        rows, columns = np.divmod(cells, width)
        centres = np.stack([columns, rows], 1).astype(np.float32) + 0.5
        near, far = np.split(distances.reshape(4, -1).T[cells], 2, axis=1)
        found.append((np.concatenate([centres - near, centres + far], 1) *
                      np.float32(stride), scores, labels))
        assert distances.shape[1:] == (height, width)
    boxes, scores, labels = map(np.concatenate, zip(*found))
    keep = np.flatnonzero(scores > threshold)
    return boxes[keep], scores[keep], labels[keep]


def to_original(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (K, 4) from pixels of the input to the image's, not clipped."""
    pad = np.array(placement.pad * 2, np.float32)
    scale = np.array(placement.scale * 2, np.float32)
    return (boxes - pad) / scale


def _clipped(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    height, width = placement.shape
    return boxes.clip(0, np.array([width, height] * 2, boxes.dtype))


class PostProcess:
    """Detections of each image of a batch; threads may share it.

    Args:
        spec (Spec): What the model gives.
        score_threshold (float, optional): Another than the spec's; of the
            ``nms`` contract, a higher one only.

    Raises:
        ValueError: If the threshold cannot be had.
    """

    def __init__(self,
                 spec: Spec,
                 score_threshold: float = None) -> None:
        own = spec.score_threshold
        if score_threshold is None:
            score_threshold = own
        if not 0 <= score_threshold < 1:
            raise ValueError(f'score threshold {score_threshold}: expected '
                             f'at least 0 and less than 1.')
        if spec.contract == 'nms' and score_threshold < own:
            raise ValueError(
                f'score threshold {score_threshold}: the file holds its own '
                f'suppression, which drops scores up to {own}. Give a '
                f'higher one, or export with another contract.')
        self.spec = spec
        self.score_threshold = score_threshold

    def __call__(self, outputs: Sequence[np.ndarray],
                 placements: Sequence[Placement]) -> List[Detections]:
        """Outputs of a batch -> detections of its first images.

        Args:
            outputs (Sequence[np.ndarray]): In the order of the contract.
            placements (Sequence[Placement]): Of the images; there may be
                fewer than in the batch, which was filled up then.
        """
        return [
            self._image([output[index] for output in outputs], placement)
            for index, placement in enumerate(placements)
        ]

    def _image(self, outputs: Sequence[np.ndarray],
               placement: Placement) -> Detections:
        spec, threshold = self.spec, self.score_threshold
        if spec.contract == 'nms':
            count = int(outputs[0][0])
            boxes, scores, labels = (output[:count] for output in outputs[1:])
            chosen = np.flatnonzero(scores > threshold)
            boxes = to_original(boxes[chosen].astype(np.float32), placement)
        else:
            if spec.contract == 'raw':
                boxes, scores, labels = _candidates_of_raw(
                    outputs, spec, threshold)
            else:
                boxes, scores = outputs
                cells, labels = _above(scores, threshold, spec.multi_label)
                boxes, scores = boxes[cells], scores[cells, labels]
            order = best(scores, spec.nms_pre)
            boxes = to_original(boxes[order].astype(np.float32), placement)
            scores, labels = scores[order], labels[order]
            chosen = suppress(boxes, scores, labels, spec.iou_threshold,
                              spec.max_detections)
            boxes = boxes[chosen]
        return Detections(
            _clipped(boxes, placement), scores[chosen].astype(np.float32),
            labels[chosen].astype(np.int64))
