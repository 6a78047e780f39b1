"""A checkpoint's detections in the validation images, and its mistakes."""
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config

from yolo_world_rep.detector.detections import data_loader, evaluate_detector
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.inference.matching import box_ious, pair_in_turn
from yolo_world_rep.inference.postprocess import suppress
from yolo_world_rep.moved import moved_names
from yolo_world_rep.utils.files import PathLike

SCORE = 0.3  # below, a detection is not counted among the mistakes
OVERLAP = 0.5  # intersection over union of a detection and its object


@dataclass(frozen=True)
class Picture:
    """An image, its objects and the confident detections in it."""
    path: str
    boxes: np.ndarray  # of objects, (K, 4), x1, y1, x2, y2 in pixels
    labels: np.ndarray
    found: np.ndarray  # detections, (D, 4), the best first
    found_labels: np.ndarray
    scores: np.ndarray


class Evaluation(NamedTuple):
    """A checkpoint on the validation data: COCO's figures, AP by class."""
    metrics: Dict[str, float]
    ap: Dict[str, float]  # NaN of a class without objects
    pictures: List[Picture]


def assign(picture: Picture) -> List[Tuple[Optional[int], Optional[int]]]:
    """Pairs of object and detection, one or the other None where alone.

    The best detection chooses first: of the objects that no other has taken
    and that it overlaps by half, one of its class before others, and the
    one it overlaps most.
    """
    iou = box_ious(picture.found, picture.boxes)
    same = picture.found_labels[:, None] == picture.labels[None]
    taken = dict(
        pair_in_turn(np.where(iou >= OVERLAP, iou + 2 * same, -np.inf)))
    missed = set(range(len(picture.boxes))) - set(taken.values())
    return [*((taken.get(number), number)
              for number in range(len(picture.found))),
            *((number, None) for number in sorted(missed))]


def confusion(pictures: Sequence[Picture], count: int) -> np.ndarray:
    """Objects by class (rows) and what they were taken for, (N + 1, N + 1).

    The last row holds detections of nothing, the last column what was missed.
    """
    table = np.zeros((count + 1, count + 1), np.int64)
    for picture in pictures:
        for truth, found in assign(picture):
            row = count if truth is None else picture.labels[truth]
            column = count if found is None else picture.found_labels[found]
            table[row, column] += 1
    return table


def mistakes(picture: Picture) -> int:
    """Objects missed or taken for others, and detections of nothing."""
    return sum(
        truth is None or found is None
        or picture.labels[truth] != picture.found_labels[found]
        for truth, found in assign(picture))


def worst(pictures: Sequence[Picture], number: int) -> List[Picture]:
    """The images with most mistakes, those without any left out."""
    counted = [(mistakes(picture), picture) for picture in pictures]
    counted.sort(key=lambda pair: -pair[0])
    return [picture for count, picture in counted[:number] if count]


def picture_of(path: PathLike, boxes: Any, labels: Any, found: Any,
               one_in_place: bool = False) -> Picture:
    """An image and mmdet's confident detections, all or the best in place."""
    found = found.numpy()
    order = np.argsort(-found.scores, kind='stable')
    order = order[found.scores[order] >= SCORE]
    if one_in_place:
        order = order[suppress(found.bboxes[order], found.scores[order],
                               np.zeros(len(order)), OVERLAP, len(order))]
    return Picture(
        path=str(path),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        found=found.bboxes[order].astype(np.float64),
        found_labels=found.labels[order], scores=found.scores[order])


def evaluate(cfg: Config, checkpoint: PathLike,
             device: str = 'cpu') -> Evaluation:
    """Evaluate a checkpoint on validation data, in this process alone."""
    model, _ = load_detector(cfg, checkpoint)
    loader = data_loader(cfg.val_dataloader)
    infos = {info['img_id']: info for info in map(
        loader.dataset.get_data_info, range(len(loader.dataset)))}
    pictures: List[Picture] = []

    def add(sample: Any) -> None:
        info = infos[sample.img_id]
        truth = [each for each in info['instances'] if not each['ignore_flag']]
        pictures.append(picture_of(
            info['img_path'], [each['bbox'] for each in truth],
            [each['bbox_label'] for each in truth], sample.pred_instances))

    precisions = evaluate_detector(
        model.to(device), loader, cfg.val_evaluator, add)
    return Evaluation(precisions.figures(), precisions.by_class(), pictures)


__getattr__ = moved_names(__name__, {
    'overlaps': 'inference.matching.box_ious',
    'match': 'report.mistakes.assign'
})
