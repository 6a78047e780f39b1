"""What a fine-tuned model still knows of classes it was not tuned on."""
import copy
import math
import tempfile
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmyolo.registry import DATASETS

from yolo_world_rep.config.migration import config_from_file
from yolo_world_rep.config.variables import find
from yolo_world_rep.engine import launch
from yolo_world_rep.engine.classes import annotation_names, names_of
from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep.reparam.editing import edit_checkpoint, require_folded
from yolo_world_rep.reparam.interpolation import interpolate_checkpoints
from yolo_world_rep.text import load_embeddings
from yolo_world_rep.utils.files import PathLike

# What follows from the number of classes, and from that of guides.
CLASS_KEYS = ('model.num_train_classes', 'model.num_test_classes',
              'model.bbox_head.head_module.num_guide',
              'model.bbox_head.head_module.num_classes',
              'model.train_cfg.assigner.num_classes')
GUIDE_KEYS = ('model.neck.guide_channels',
              'model.neck.block_cfg.guide_channels')


# CocoMetric's name of the mean over all classes.
MEAN = 'bbox_mAP'


class Retention(NamedTuple):
    """Average precision of one checkpoint, extended by the held-out classes.

    Args:
        name (str): Which checkpoint.
        tuned (float): Mean AP of the classes it was folded with.
        held_out (float): Mean AP of the others.
    """
    name: str
    tuned: float
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


def label_names(cfg: Config) -> Tuple[str, ...]:
    """What the labels of a config's test data stand for, in order.

    Raises:
        ValueError: If the data set does not name them.
    """
    with DefaultScope.overwrite_default_scope('mmyolo'):
        dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
    names = annotation_names(dataset) or names_of(
        getattr(dataset, 'metainfo', None))
    if names is None:
        raise ValueError(
            'The test data set names no classes; give it '
            'metainfo=dict(classes=...).')
    return names


def extend(checkpoint: PathLike, held_out: PathLike, order: Sequence[str],
           out: PathLike) -> None:
    """Add held-out classes and put all in the order of the labels.

    Args:
        checkpoint (str | Path): A folded checkpoint.
        held_out (str | Path): Embeddings of the classes, with names.
        order (Sequence[str]): Names of the labels.
        out (str | Path): The file to write.

    Raises:
        ValueError: If a label belongs to neither.
    """
    wider = Path(out).with_suffix('.wider.pth')
    edit_checkpoint(checkpoint, wider, add=held_out, overwrite=True)
    try:
        edit_checkpoint(wider, out, keep=order, overwrite=True)
    finally:
        wider.unlink()


def group_means(metrics: Mapping[str, float],
                groups: Mapping[str, Sequence[str]]) -> Dict[str, float]:
    """Mean AP of groups of classes, from a classwise CocoMetric.

    Classes without an instance in the data have no AP and do not count.
    """
    means = {}
    # The evaluator puts its name and a slash before each; a class may have
    # slashes of its own.
    prefix = next((key[:-len(MEAN)] for key in metrics
                   if key == MEAN or key.endswith(f'/{MEAN}')), '')
    for group, names in groups.items():
        found = [
            metrics.get(f'{prefix}{name}_precision', math.nan)
            for name in names
        ]
        values = [value for value in found if not math.isnan(value)]
        means[group] = float(sum(values) / len(values)) if values else (
            math.nan)
    return means


def evaluate_retention(config: PathLike,
                       checkpoints: Mapping[str, PathLike],
                       held_out: PathLike,
                       work_dir: Optional[str] = None,
                       cfg_options: Optional[dict] = None
                       ) -> List[Retention]:
    """Evaluate checkpoints with classes added that they were not tuned on.

    Args:
        config (str | Path): A config of the reparameterized model whose
            test data hold instances of both groups of classes.
        checkpoints (Mapping): Folded checkpoints by name, tuned or not.
        held_out (str | Path): ``.npy`` of the held-out classes, with the
            sidecar that names them.
        work_dir (str, optional): Folder of the logs.
        cfg_options (dict, optional): Dotted keys of the config and values.

    Returns:
        list[Retention]: One a checkpoint.

    Raises:
        ValueError: If names are missing or belong to nothing.
    """
    names = load_embeddings(held_out).names
    if names is None:
        raise ValueError(
            f'{held_out} has no sidecar that names its rows; make it with '
            f'yolo-world-rep embed.')
    base = launch.config_for_test(
        config_from_file(str(config)),
        str(config),
        str(next(iter(checkpoints.values()))),
        work_dir,
        cfg_options=cfg_options)
    order = label_names(base)
    results = []
    for name, checkpoint in checkpoints.items():
        with tempfile.TemporaryDirectory() as folder:
            extended = Path(folder) / 'extended.pth'
            tuned = require_folded(load_checkpoint(checkpoint)).get('classes')
            extend(checkpoint, held_out, order, extended)
            about = require_folded(load_checkpoint(extended))
            prepared = with_classes(base, about['num_classes'],
                                    about['num_guide'])
            prepared.load_from = str(extended)
            prepared.test_evaluator.classwise = True
            prepared.experiment_name = f'retention_{len(results)}'
            metrics = launch.build_runner(prepared).test()
        means = group_means(metrics, dict(tuned=tuned, held_out=names))
        results.append(Retention(name, means['tuned'], means['held_out']))
    return results


def between(before: PathLike, after: PathLike, alphas: Sequence[float],
            folder: PathLike) -> Dict[str, Path]:
    """Checkpoints on the line between two, by name, both ends included."""
    points = {'before': Path(before)}
    for alpha in alphas:
        points[f'interpolated, {alpha:g}'] = interpolate_checkpoints(
            before,
            after,
            alpha,
            Path(folder) / f'alpha_{alpha:g}.pth',
            overwrite=True)
    points['after'] = Path(after)
    return points
