"""Detections of a torch model in a config's data, and their AP."""
import contextlib
import copy
import io
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmyolo.registry import DATASETS
from torch import nn
from torch.utils.data import DataLoader

from yolo_world_rep.datasets.annotations import COCO_LIMIT
from yolo_world_rep.detector.evaluation import (
    Precisions,
    quiet_coco,
    truth_of,
)
from yolo_world_rep.inference.results import Result
from yolo_world_rep.text.names import names_of


def data_loader(cfg: Any) -> DataLoader:
    """The images of a config's loader in order, all in this process."""
    with DefaultScope.overwrite_default_scope(
            'mmyolo'), contextlib.redirect_stdout(io.StringIO()):
        dataset = DATASETS.build(copy.deepcopy(cfg.dataset))
    return DataLoader(
        dataset, batch_size=cfg.get('batch_size', 1),
        num_workers=cfg.get('num_workers', 0), collate_fn=pseudo_collate)


def _truth(evaluators: Any, dataset: Any) -> Optional[Any]:
    """COCO's index of the ground truth, None unless COCO's AP is asked for."""
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    of_coco = [e for e in evaluators if 'CocoMetric' in str(e['type'])]
    if not of_coco:
        return None
    path = of_coco[0].get('ann_file')
    if path is None:
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        path = dataset.ann_file
    return quiet_coco(truth_of(path))


def _limit_of(evaluators: Any) -> int:
    """Detections of a class that count; mmdet's metric has no choice."""
    for each in [evaluators] if isinstance(evaluators, dict) else evaluators:
        if 'ExactCocoMetric' in str(each['type']):
            return max(each.get('proposal_nums', [COCO_LIMIT]))
    return COCO_LIMIT


@torch.no_grad()
def evaluate_detector(
        model: nn.Module, loader: DataLoader, evaluator: Any,
        on_sample: Callable[[DetDataSample], None] = lambda sample: None
) -> Precisions:
    """Average precision of boxes on a config's data, in this process alone.

    The annotation file of the evaluator is the ground truth; for evaluators
    other than ``CocoMetric`` all is NaN. ``on_sample`` is called with the
    detections in each image. The classes are in the order of the labels.
    """
    dataset: Any = loader.dataset
    names = list(names_of(dataset.metainfo) or ())
    truth = _truth(evaluator, dataset)
    # Labels are numbered in the order of the file, whatever that of names.
    categories = truth.getCatIds(catNms=names) if truth else []
    rows: List[Dict[str, Any]] = []
    for batch in loader:
        for sample in model.test_step(batch):
            sample = sample.cpu()
            if truth:
                found = sample.pred_instances.numpy()
                rows += Result(found.bboxes, found.scores, found.labels, (),
                               (0, 0)).to_coco(sample.img_id, categories)
            on_sample(sample)
    if truth:
        return Precisions.of(truth, rows, categories,
                             limit=_limit_of(evaluator))
    return Precisions(tuple(names), np.full((10, 1, len(names), 4), -1.))
