"""How well a fine-tuned model still detects classes it was not tuned on."""
import copy
import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from mmengine.config import Config
from mmengine.device import get_device

from yolo_world_rep.config.migration import config_from_file
from yolo_world_rep.config.variables import find
from yolo_world_rep.detector.detections import data_loader, evaluate_detector
from yolo_world_rep.detector.evaluation import without_nan
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.engine import launch
from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep.reparam.editing import edit_checkpoint, require_folded
from yolo_world_rep.reparam.interpolation import interpolate_checkpoints
from yolo_world_rep.text import load_embeddings
from yolo_world_rep.text.names import Names, annotation_names, names_of
from yolo_world_rep.utils.files import PathLike, atomic_path

# What follows from the number of classes, and from that of guides.
CLASS_KEYS = ('model.num_train_classes', 'model.num_test_classes',
              'model.bbox_head.head_module.num_guide',
              'model.bbox_head.head_module.num_classes',
              'model.train_cfg.assigner.num_classes')
GUIDE_KEYS = ('model.neck.guide_channels',
              'model.neck.block_cfg.guide_channels')


class Retention(NamedTuple):
    """Mean AP of one checkpoint with the held-out classes added."""
    name: str
    tuned: float  # of the classes that it was folded with
    held_out: float


def with_classes(cfg: Config, classes: int, guides: int) -> Config:
    """A copy of a config whose model has so many classes and guides."""
    cfg = copy.deepcopy(cfg)
    for keys, value in ((CLASS_KEYS, classes), (GUIDE_KEYS, guides)):
        for key in keys:
            for holder, name, _ in find(cfg._cfg_dict, key.split('.')):
                holder[name] = value
    # A variable that says otherwise would be carried on.
    for record in (cfg, cfg.get('derived_with') or {}):
        if 'num_classes' in record:
            record['num_classes'] = classes
    return cfg


def label_names(dataset: Any) -> Names:
    """What the labels of a data set stand for, in order."""
    names = annotation_names(dataset) or names_of(
        getattr(dataset, 'metainfo', None))
    if names is None:
        raise ValueError('The test data set names no classes; give it '
                         'metainfo=dict(classes=...).')
    return names


def extend(checkpoint: PathLike, held_out: PathLike, order: Sequence[str],
           out: PathLike, norms: str = 'refuse') -> None:
    """Add held-out classes and put all in the order of the labels."""
    wider = Path(out).with_suffix('.wider.pth')
    edit_checkpoint(checkpoint, wider, add=held_out, overwrite=True,
                    norms=norms)
    try:
        edit_checkpoint(wider, out, keep=order, overwrite=True)
    finally:
        wider.unlink()


def mean_ap(by_class: Mapping[str, float], names: Sequence[str]) -> float:
    """Mean AP of those classes that have instances."""
    found = [by_class.get(name, math.nan) for name in names]
    counted = [ap for ap in found if not math.isnan(ap)]
    return statistics.fmean(counted) if counted else math.nan


def evaluate_retention(config: PathLike, checkpoints: Mapping[str, PathLike],
                       held_out: PathLike, work_dir: Optional[PathLike] = None,
                       cfg_options: Optional[dict] = None,
                       norms: str = 'refuse') -> List[Retention]:
    """Evaluate checkpoints with classes added that they were not tuned on.

    The config's test data hold instances of both groups, and ``held_out`` is a
    ``.npy`` whose sidecar names the rows. The AP of each class by checkpoint
    goes to ``retention.json`` in ``work_dir``.
    """
    names = load_embeddings(held_out).names
    if names is None:
        raise ValueError(f'{held_out} has no sidecar that names its rows; '
                         f'make it with yolo-world-rep embed.')
    results, by_class = [], {}
    with tempfile.TemporaryDirectory() as folder:
        base = launch.config_for_test(
            config_from_file(str(config)), str(config),
            str(next(iter(checkpoints.values()))), work_dir=folder,
            cfg_options=cfg_options)
        launch.check_files(base, ('test_dataloader', ))
        loader = data_loader(base.test_dataloader)
        order = label_names(loader.dataset)
        for name, checkpoint in checkpoints.items():
            extended = Path(folder) / 'extended.pth'
            tuned = require_folded(load_checkpoint(checkpoint)).get('classes')
            extend(checkpoint, held_out, order, extended, norms)
            about = require_folded(load_checkpoint(extended))
            model, _ = load_detector(
                with_classes(base, about['num_classes'], about['num_guide']),
                extended)
            by_class[name] = evaluate_detector(
                model.to(get_device()), loader,
                base.test_evaluator).by_class()
            results.append(
                Retention(name, *(mean_ap(by_class[name], group)
                                  for group in (tuned, names))))
    if work_dir is not None:
        with atomic_path(Path(work_dir) / 'retention.json') as temporary:
            temporary.write_text(
                json.dumps(without_nan(by_class), indent=1), encoding='utf-8')
    return results


def between(before: PathLike, after: PathLike, alphas: Sequence[float],
            folder: PathLike) -> Dict[str, Path]:
    """Checkpoints on the line between two, by name, both ends included."""
    points = {'before': Path(before)}
    for alpha in alphas:
        points[f'interpolated, {alpha:g}'] = interpolate_checkpoints(
            before, after, alpha, Path(folder) / f'alpha_{alpha:g}.pth',
            overwrite=True)
    points['after'] = Path(after)
    return points
