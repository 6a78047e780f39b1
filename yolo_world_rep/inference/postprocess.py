"""From the outputs of any contract to detections in the original image.

The numbers are those of mmyolo's YOLOv8 head, by NumPy alone.

Shape suffixes: N classes, P cells of all levels, C candidates, K detections.
"""
import math
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from yolo_world_rep.utils.wording import near_names

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

    A box goes when its IoU with a better one of its label that stays is above
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


def adjusted(spec: Spec, score_threshold: Optional[float] = None,
             class_scores: Optional[Mapping[str, float]] = None,
             max_detections: Optional[int] = None,
             class_agnostic: Optional[bool] = None) -> Spec:
    """A spec with other settings of its detections, None for its own.

    ``class_scores`` are added to those of the spec. What a file with its own
    suppression has already dropped is a ValueError.
    """
    given = dict(score_threshold=score_threshold, class_scores=class_scores,
                 max_detections=max_detections, class_agnostic=class_agnostic)
    changes: Dict[str, Any] = {
        name: value for name, value in given.items() if value is not None}
    for name, score in {'': changes.get('score_threshold', 0),
                        **(class_scores or {})}.items():
        labels_of([name] if name else [], spec.classes)
        if not 0 <= score < 1:
            of = f' of {name!r}' if name else ''
            raise ValueError(f'score threshold{of} {score}: expected at '
                             f'least 0 and less than 1.')
    if max_detections is not None and max_detections < 1:
        raise ValueError(f'`max_detections` {max_detections}: expected 1 or '
                         f'more.')
    if class_scores:
        changes['class_scores'] = {**spec.class_scores, **class_scores}
    wanted = spec.with_(**changes)
    if spec.contract != 'nms':
        return wanted
    low = np.flatnonzero(wanted.thresholds < spec.thresholds)
    if len(low):
        raise ValueError(
            f'score threshold {wanted.thresholds[low[0]]:g}: the file holds '
            f'its own suppression, which drops scores up to '
            f'{spec.thresholds[low[0]]:g}. Give a higher one, or export with '
            f'another contract.')
    if wanted.max_detections > spec.max_detections:
        raise ValueError(
            f'`max_detections` {max_detections}: the file holds its own '
            f'suppression, which keeps {spec.max_detections}. Give fewer, or '
            f'export it with yolo-world-rep export --with-nms --max-det '
            f'{max_detections}.')
    if wanted.class_agnostic != spec.class_agnostic:
        raise ValueError(
            f'`class_agnostic` {class_agnostic}: the file holds its own '
            f'suppression with class_agnostic={spec.class_agnostic}. Leave '
            f'it out, or export the model again'
            + (' with yolo-world-rep export --with-nms --agnostic-nms.'
               if class_agnostic else '.'))
    return wanted


def labels_of(names: Sequence[str], classes: Sequence[str]) -> List[int]:
    """Labels of names, rising; those that no class has are a ValueError."""
    for name in names:
        if name not in classes:
            raise ValueError(f'class {name!r}: the model has no such class. '
                             f'{near_names(name, classes)}')
    return [label for label, name in enumerate(classes) if name in set(names)]


class PostProcess:
    """Detections of each image of a batch; threads may share it.

    ``settings`` are those of :func:`adjusted`.
    """

    def __init__(self, spec: Spec, **settings: Any) -> None:
        self.spec = adjusted(spec, **settings)
        # Of each class, and what is below all of them.
        self.thresholds = self.spec.thresholds
        self.lowest = float(min(self.thresholds))

    def __call__(self, outputs: Sequence[np.ndarray],
                 placements: Sequence[Placement]) -> List[Detections]:
        """Outputs of a batch -> detections of the images with a placement."""
        return [self._image([output[index] for output in outputs], placement)
                for index, placement in enumerate(placements)]

    def _image(self, outputs: Sequence[np.ndarray],
               placement: Placement) -> Detections:
        spec = self.spec
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
            _require_sound(inside, scores, labels, spec.num_classes)
            rows = np.arange(count)
        else:
            inside, scores, labels, rows = self._scored(outputs)
        above = np.flatnonzero(scores > self.thresholds[labels])
        order = above[best(scores[above], spec.nms_pre)]
        scores, labels, rows = (values[order]
                                for values in (scores, labels, rows))
        inside = inside[rows].astype(np.float32)
        boxes = to_original(inside, placement)
        _require_sound(boxes, scores, labels, spec.num_classes)
        kept: Any = slice(spec.max_detections)
        if spec.contract != 'nms':
            groups = np.zeros_like(labels) if spec.class_agnostic else labels
            with np.errstate(over='ignore', invalid='ignore'):
                kept = suppress(boxes, scores, groups, spec.iou_threshold,
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
        spec, threshold = self.spec, self.lowest
        if spec.contract == 'raw':
            levels = len(spec.strides)
            return (decode(outputs[levels:], spec.strides),
                    *_cells_of_raw(outputs[:levels], threshold,
                                   spec.multi_label))
        boxes, scores_PN = outputs[:2]
        labels, cells = _candidates(scores_PN.T, threshold, spec.multi_label)
        return boxes, scores_PN[cells, labels], labels, cells
