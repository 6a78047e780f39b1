"""What a checkpoint detects in the validation images, and its mistakes."""
import contextlib
import copy
import io
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmyolo.registry import DATASETS, METRICS
from torch.utils.data import DataLoader

from yolo_world_rep.engine.classes import names_of
from yolo_world_rep.inference.matching import box_ious, pair_in_turn
from yolo_world_rep.utils.files import PathLike

SCORE = 0.3  # below, a detection is not counted among the mistakes
OVERLAP = 0.5  # intersection over union of a detection and its object


@dataclass(frozen=True)
class Picture:
    """An image, its objects and the confident detections in it.

    Args:
        path (str): The image.
        boxes (np.ndarray): Objects, (K, 4), x1, y1, x2, y2 in pixels.
        labels (np.ndarray): (K, ).
        found (np.ndarray): Detections, (D, 4), the best first.
        found_labels (np.ndarray): (D, ).
        scores (np.ndarray): (D, ).
    """
    path: str
    boxes: np.ndarray
    labels: np.ndarray
    found: np.ndarray
    found_labels: np.ndarray
    scores: np.ndarray


class Evaluation(NamedTuple):
    """A checkpoint on the validation data.

    Args:
        metrics (dict): As of CocoMetric, without a prefix.
        ap (dict): Class name to AP; NaN for a class without objects.
        pictures (list[Picture]): One an image.
    """
    metrics: Dict[str, float]
    ap: Dict[str, float]
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
    return [(taken.get(number), number)
            for number in range(len(picture.found))
            ] + [(number, None) for number in sorted(missed)]


def confusion(pictures: Sequence[Picture], count: int) -> np.ndarray:
    """Objects by class (rows) and what they were taken for (columns).

    The last row holds detections of nothing, the last column objects that
    were missed.

    Args:
        pictures (Sequence[Picture]): Images.
        count (int): N.

    Returns:
        np.ndarray: (N + 1, N + 1), int.
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


def _metric(cfg: Config, classes: Sequence[str]) -> Any:
    """CocoMetric by class, alone in this process."""
    evaluator = cfg.val_evaluator
    if isinstance(evaluator, (list, tuple)):
        evaluator = evaluator[0]
    evaluator = copy.deepcopy(evaluator)
    evaluator.update(classwise=True, format_only=False, outfile_prefix=None)
    metric = METRICS.build(evaluator)
    metric.dataset_meta = dict(classes=tuple(classes))
    return metric


def _picture(info: Dict[str, Any], instances: Any) -> Picture:
    truth = [each for each in info['instances'] if not each['ignore_flag']]
    found = instances.numpy()
    keep = found.scores >= SCORE
    order = np.argsort(-found.scores[keep], kind='stable')
    return Picture(
        path=info['img_path'],
        boxes=np.array([each['bbox'] for each in truth],
                       np.float64).reshape(-1, 4),
        labels=np.array([each['bbox_label'] for each in truth], np.int64),
        found=found.bboxes[keep][order].astype(np.float64),
        found_labels=found.labels[keep][order],
        scores=found.scores[keep][order])


@torch.no_grad()
def evaluate(cfg: Config,
             checkpoint: PathLike,
             device: str = 'cpu') -> Evaluation:
    """Evaluate a checkpoint on the validation data of a config.

    In this process alone, whatever processes train beside it.

    Args:
        cfg (Config): A training config, its variables resolved.
        checkpoint (str | Path): Weights of its model.
        device (str): Of torch. Defaults to ``'cpu'``.

    Returns:
        Evaluation: AP, and the detections.

    Raises:
        ValueError: If the checkpoint does not fit.
    """
    from yolo_world_rep.detector.loading import load_detector
    model, _ = load_detector(cfg, checkpoint)
    model = model.to(device)
    with DefaultScope.overwrite_default_scope(
            'mmyolo'), contextlib.redirect_stdout(io.StringIO()):
        dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
        classes = names_of(dataset.metainfo) or ()
        metric = _metric(cfg, classes)
        loader = DataLoader(
            dataset,
            batch_size=cfg.val_dataloader.get('batch_size', 1),
            num_workers=cfg.val_dataloader.get('num_workers', 0),
            collate_fn=pseudo_collate)
        infos = {
            info['img_id']: info
            for info in map(dataset.get_data_info, range(len(dataset)))
        }
        pictures = []
        for batch in loader:
            samples = [sample.cpu() for sample in model.test_step(batch)]
            metric.process(batch, [sample.to_dict() for sample in samples])
            pictures += [
                _picture(infos[sample.img_id], sample.pred_instances)
                for sample in samples
            ]
        # Not evaluate(), which gathers from all processes. It gives nothing
        # where nothing was detected at all, which is an AP of 0.
        metrics = metric.compute_metrics(metric.results) or dict(
            bbox_mAP=0.0, bbox_mAP_50=0.0, bbox_mAP_75=0.0)
    return Evaluation({k: float(v) for k, v in metrics.items()}, {
        name: float(metrics.get(f'{name}_precision', 0.0))
        for name in classes
    }, pictures)
