"""Detections of a model on the shapes, and what they are worth."""
from typing import Callable, Dict, List, NamedTuple, Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmyolo.registry import MODELS
from torch import Tensor, nn

from ..inference.evaluation import (
    mean_precision,
    precision_table,
    quiet_coco,
)
from ..reparam import load_checkpoint
from ..utils.files import PathLike


class Score(NamedTuple):
    """Average precision.

    Args:
        ap (float): The mean over IoU thresholds from 0.5 to 0.95.
        ap50 (float): At an IoU threshold of 0.5.
    """
    ap: float
    ap50: float


def load_detector(config: Config, checkpoint: PathLike) -> nn.Module:
    """Build a config's model and load a checkpoint into it, whole.

    Args:
        config (Config): The config; not changed.
        checkpoint (str | Path): A checkpoint of that very model.

    Returns:
        nn.Module: The model in evaluation mode.
    """
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = MODELS.build(config.model)
    loaded = load_checkpoint(checkpoint)
    model.load_state_dict(loaded.state_dict)
    model.dataset_meta = loaded.meta.get('dataset_meta')
    return model.eval()


def test_loader(config: Config) -> torch.utils.data.DataLoader:
    """The loader of a config's test data; the config is not changed."""
    with DefaultScope.overwrite_default_scope('mmyolo'):
        return Runner.build_dataloader(config.test_dataloader, seed=0)


@torch.no_grad()
def detect(
    model: nn.Module,
    loader: torch.utils.data.DataLoader,
    on_batch: Callable[[], None] = lambda: None
) -> List[DetDataSample]:
    """Detections of a model in all images of a loader."""
    samples: List[DetDataSample] = []
    for batch in loader:
        samples += model.test_step(batch)
        on_batch()
    return samples


@torch.no_grad()
def logits(model: nn.Module, batch: dict) -> Tensor:
    """Classification logits of a batch, all levels, (B, N, positions)."""
    data = model.data_preprocessor(batch, False)
    inputs = data['inputs'].to(next(model.parameters()).dtype)
    features = model.extract_feat(inputs, data['data_samples'])
    levels = model.bbox_head.forward(features)[0]
    return torch.cat([level.flatten(2) for level in levels], dim=2)


def relative_difference(one: nn.Module, other: nn.Module,
                        batch: dict) -> float:
    """Largest difference of two models' logits over their range."""
    first, second = logits(one, batch), logits(other, batch)
    return float((first - second).abs().max() / (first.max() - first.min()))


def score(samples: Sequence[DetDataSample],
          annotation_file: PathLike,
          groups: Dict[str, Sequence[str]]) -> Dict[str, Score]:
    """Average precision over groups of classes, as COCO defines it.

    Args:
        samples (Sequence[DetDataSample]): Detections in all images; label
            i is the file's i-th category.
        annotation_file (str | Path): The truth in the format of COCO.
        groups (dict): Names of the classes of each group.

    Returns:
        dict: The score of each group.
    """
    truth = quiet_coco(annotation_file)
    categories = truth.getCatIds()
    names = [category['name'] for category in truth.loadCats(categories)]
    table = precision_table(truth, _coco_results(samples, categories))
    scores = {}
    for name, classes in groups.items():
        places = [names.index(each) for each in classes]
        scores[name] = Score(
            mean_precision(table, places),
            mean_precision(table, places, iou=0.5))
    return scores


def _coco_results(samples: Sequence[DetDataSample],
                  categories: Sequence[int]) -> List[dict]:
    results = []
    for sample in samples:
        found = sample.pred_instances.cpu()
        for (x1, y1, x2, y2), mark, label in zip(
                found.bboxes.tolist(), found.scores.tolist(),
                found.labels.tolist()):
            results.append(
                dict(
                    image_id=sample.img_id,
                    category_id=categories[label],
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    score=mark))
    return results
