"""From the outputs of any contract to detections in the original image.

The numbers are those of mmyolo's YOLOv8 head, by NumPy alone.

Shape suffixes: N classes, P cells of all levels, C candidates, K detections.
"""
import math
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .letterbox import Placement
from .prototypes import encoded_masks, sigmoid
from .spec import Spec

# Candidates looked at together by the suppression.
BLOCK = 2048
NO_NUMBERS = ('the model gives {} that are no finite numbers: its weights are '
              'damaged, or its training diverged.')


class Detections(NamedTuple):
    """The detections in an image, best first."""
    boxes: np.ndarray  # (K, 4), float32, x1, y1, x2, y2 in the image's pixels
    scores: np.ndarray  # (K, ), float32
    labels: np.ndarray  # (K, ), int64
    masks: Optional[np.ndarray] = None  # (K, ), run lengths

    def take(self, chosen: Any) -> 'Detections':
        return Detections(
            self.boxes[chosen], self.scores[chosen], self.labels[chosen],
            None if self.masks is None else self.masks[chosen])


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
             iou_threshold: float, limit: int) -> np.ndarray:
    """Indices of the survivors of greedy suppression, the best first.

    A box goes when its IoU with a better one of its class that stays is above
    the threshold (0/0 is not). It ends with the last survivor that is wanted,
    which makes it fast where there are many candidates. Boxes (C, 4), scores
    and labels (C, ) come the best first.
    """
    assert (np.diff(scores) <= 0).all(), 'the best come first'
    # One row a coordinate: what is sliced below lies together.
    corners = np.ascontiguousarray(boxes.T)
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])
    kept: List[int] = []

    def overlapped(index: int, others: slice) -> np.ndarray:
        """Which others the box puts out."""
        x1, y1, x2, y2 = corners[:, index]
        left, top, right, bottom = corners[:, others]
        width = np.minimum(x2, right) - np.maximum(x1, left)
        height = np.minimum(y2, bottom) - np.maximum(y1, top)
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
        while alive[place:].any():
            place += int(alive[place:].argmax())
            kept.append(start + place)
            if len(kept) == limit:
                return np.array(kept)
            rest = slice(start + place + 1, stop)
            alive[place + 1:] &= ~overlapped(start + place, rest)
            place += 1
    return np.array(kept, dtype=np.int64)


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` largest, the largest first."""
    chosen = np.arange(len(scores))
    if len(scores) > count:  # sorted, so that of equal ones the first is first
        chosen = np.sort(np.argpartition(-scores, count - 1)[:count])
    return chosen[np.argsort(-scores[chosen], kind='stable')]


def _candidates(values_NP: np.ndarray, threshold: float,
                multi_label: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Class and cell of what is above the threshold."""
    if multi_label and len(values_NP) > 1:
        cells, labels = np.divmod(
            np.flatnonzero((values_NP > threshold).T), len(values_NP))
        return labels, cells
    labels = values_NP.argmax(0)
    cells = np.flatnonzero(values_NP.max(0) > threshold)
    return labels[cells], cells


def _cells_of_raw(logits: Sequence[np.ndarray], threshold: float,
                  multi_label: bool) -> Tuple[np.ndarray, ...]:
    """Scores, classes and cells of one image's logits."""
    # A little lower, so that the scores decide and not the rounding here.
    low = threshold * (1 - 1e-4)
    floor = math.log(low / (1 - low)) if 0 < low < 1 else -np.inf
    found, first = [], 0
    for level in logits:
        values_NP = level.reshape(len(level), -1)
        labels, cells = _candidates(values_NP, floor, multi_label)
        found.append((values_NP[labels, cells], labels, cells + first))
        first += values_NP.shape[1]
    values, labels, cells = map(np.concatenate, zip(*found))
    scores = sigmoid(values.astype(np.float32))
    keep = np.flatnonzero(scores > threshold)
    return scores[keep], labels[keep], cells[keep]


def decode(distances: Sequence[np.ndarray],
           strides: Sequence[int]) -> np.ndarray:
    """Boxes (P, 4) in pixels of the input from distances (4, h, w)."""
    levels = []
    for level, stride in zip(distances, strides):
        _, height, width = level.shape
        y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        near, far = level[:2], level[2:]
        centres = np.stack([x, y])
        levels.append(
            np.concatenate([centres - near, centres + far]).reshape(4, -1) *
            np.float32(stride))
    return np.concatenate(levels, 1).T


def to_original(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (K, 4) from pixels of the input to the image's, not clipped."""
    pad = np.array(placement.pad * 2, np.float32)
    scale = np.array(placement.scale * 2, np.float32)
    return (boxes - pad) / scale


def _require_sound(boxes: np.ndarray, scores: np.ndarray,
                   labels: np.ndarray, num_classes: int) -> None:
    """Refuse what cannot be drawn or written."""
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(NO_NUMBERS.format('boxes or scores'))
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f'the model gives class {labels.max()} and has '
                         f'names for {num_classes}. Export it again.')


def _require_finite(outputs: Sequence[np.ndarray]) -> None:
    """Refuse scores or logits that no threshold would show to be wrong."""
    for output in outputs:
        # One pass without a copy; a sum of finite values may be too large.
        with np.errstate(over='ignore', invalid='ignore'):
            total = output.sum(dtype=np.float32)
        if not np.isfinite(total) and not np.isfinite(output).all():
            raise ValueError(NO_NUMBERS.format('scores'))


class PostProcess:
    """Detections of each image of a batch; threads may share it."""

    def __init__(self, spec: Spec,
                 score_threshold: Optional[float] = None) -> None:
        own = spec.score_threshold
        score_threshold = own if score_threshold is None else score_threshold
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
        """Outputs of a batch -> detections of the images with a placement."""
        return [self._image([output[index] for output in outputs], placement)
                for index, placement in enumerate(placements)]

    def _image(self, outputs: Sequence[np.ndarray],
               placement: Placement) -> Detections:
        spec, threshold = self.spec, self.score_threshold
        _require_finite(outputs[2:3] if spec.contract == 'nms' else
                        outputs[:len(spec.strides)] if spec.contract == 'raw'
                        else outputs[1:2])
        if spec.contract == 'nms':
            count = int(outputs[0][0])
            if not 0 <= count <= len(outputs[1]):
                raise ValueError(f'the model says that it found {count}, and '
                                 f'gives {len(outputs[1])} boxes. Export it '
                                 f'again.')
            inside, scores, labels = (output[:count]
                                      for output in outputs[1:4])
            rows = np.flatnonzero(scores > threshold)
            scores, labels = scores[rows], labels[rows]
        else:
            inside, scores, labels, rows = self._scored(outputs)
            order = best(scores, spec.nms_pre)
            scores, labels, rows = (values[order]
                                    for values in (scores, labels, rows))
        inside = inside[rows].astype(np.float32)
        boxes = to_original(inside, placement)
        _require_sound(boxes, scores, labels, spec.num_classes)
        kept: Any = slice(None)
        if spec.contract != 'nms':
            with np.errstate(over='ignore', invalid='ignore'):
                kept = suppress(boxes, scores, labels, spec.iou_threshold,
                                spec.max_detections)
        height, width = placement.shape
        return Detections(
            boxes[kept].clip(0, np.array([width, height] * 2, np.float32)),
            scores[kept].astype(np.float32), labels[kept].astype(np.int64),
            self._masks(outputs, rows[kept], inside[kept], placement)
            if spec.mask_channels else None)

    def _masks(self, outputs: Sequence[np.ndarray], rows: np.ndarray,
               boxes: np.ndarray, placement: Placement) -> np.ndarray:
        """Of detections: rows of the coefficients, boxes in the input."""
        spec, levels = self.spec, len(self.spec.strides)
        if spec.contract == 'raw':
            coefficients = np.concatenate(
                [level.reshape(len(level), -1)
                 for level in outputs[2 * levels:3 * levels]], 1).T[rows]
        else:
            coefficients = outputs[-2][rows]
        if not (np.isfinite(coefficients).all()
                and np.isfinite(outputs[-1]).all()):
            raise ValueError(NO_NUMBERS.format('masks'))
        return encoded_masks(coefficients, outputs[-1], boxes, placement,
                             spec.mask_stride, spec.mask_threshold)

    def _scored(self, outputs: Sequence[np.ndarray]) -> Tuple[np.ndarray, ...]:
        """Boxes of all cells; scores, classes and cells of candidates."""
        spec, threshold = self.spec, self.score_threshold
        if spec.contract == 'raw':
            levels = len(spec.strides)
            return (decode(outputs[levels:], spec.strides),
                    *_cells_of_raw(outputs[:levels], threshold,
                                   spec.multi_label))
        boxes, scores_PN = outputs[:2]
        labels, cells = _candidates(scores_PN.T, threshold, spec.multi_label)
        return boxes, scores_PN[cells, labels], labels, cells
