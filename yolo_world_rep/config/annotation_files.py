"""A config's COCO files, read and checked as data of ``train --data`` are."""
import copy
import logging
import os
import os.path as osp
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable, Sequence

from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmyolo.registry import DATASETS

from ..datasets.annotation_checks import (
    check_boxes,
    check_ids,
    check_masks,
    in_both,
)
from ..datasets.annotations import Annotations, Finding, listed, read_coco
from ..text.names import name_differences, names_of
from ..utils.files import write_together
from ..utils.log import log
from .variables import find


def reads_coco(kind: Any) -> bool:
    """Whether it is a data set that reads COCO's boxes as mmdet does."""
    return isinstance(kind, type) and issubclass(kind, CocoDataset) and all(
        getattr(kind, name) is getattr(CocoDataset, name)
        for name in ('load_data_list', 'parse_data_info', 'COCOAPI'))


def in_order_of(names: Sequence[str], data: Annotations) -> Annotations:
    """The data with their categories in the order of a config's classes.

    mmdet numbers labels by the order of the file, whatever that of the
    classes, and without those that the file does not have.
    """
    known = {category['name']: category for category in data.categories}
    both = [name for name in data.names if name in names]
    others = [known[name] for name in known if name not in names]
    if not both:
        raise ValueError(
            f'{data.path} has none of the config\'s classes: '
            f'{name_differences(data.names, names)}. Set '
            f'metainfo=dict(classes=...) (class_names in our configs).')
    found = list(data.findings)
    left = {category['id'] for category in others}
    lost = sum(box['category_id'] in left for box in data.boxes)
    if lost:
        found.append(Finding(
            'warning', f'{lost} of {len(data.boxes)} boxes are of classes '
            f'that the config does not have, and left out: '
            f'{listed(category["name"] for category in others)}.'))
    if both == list(names):
        return replace(data, findings=tuple(found))
    found.append(Finding(
        'warning', f'the categories are taken in the order of the config\'s '
        f'classes: {name_differences(both, names)}.'))
    free = 1 + max(category['id'] for category in data.categories)
    ordered = [known.get(name, dict(id=free + label, name=name))
               for label, name in enumerate(names)]
    return replace(data, categories=ordered + others, findings=tuple(found),
                   changed=True)


def use_sound_files(cfg: Config, loaders: Iterable[str],
                    level: int = logging.WARNING) -> None:
    """Have data sets and evaluators of a config read COCO files put right.

    They are written to ``annotations`` in the work dir where a file itself
    would be misread. What is put right or left out is logged, warnings at
    ``level``; a ``ValueError`` says why nothing can be trained on.
    """
    tree, trained = cfg._cfg_dict, set()
    for part in (loader.partition('_')[0] for loader in loaders):
        evaluators = list(find(tree, [f'{part}_evaluator', '**', 'ann_file']))
        if any(each.get('format_only') for each, _, _ in evaluators):
            continue  # there may be no truth
        for dataset, key, where in find(
                tree, [f'{part}_dataloader', '**', 'ann_file']):
            root, kind = dataset.get('data_root') or '', dataset.get('type')
            kind = DATASETS.get(kind) if isinstance(kind, str) else kind
            path = osp.join(root, dataset[key])
            if not reads_coco(kind) or not osp.isfile(path):
                continue
            data = read_coco(path, osp.join(
                root, (dataset.get('data_prefix') or {}).get('img') or ''))
            found = list(check_ids(data))
            data = in_order_of(names_of(kind._load_metainfo(copy.deepcopy(
                dataset.get('metainfo')))) or data.names, data)
            small = (dataset.get('filter_cfg') or {}).get('min_size')
            found += [*data.findings, *check_boxes(data, bool(small))]
            if part == 'train':
                trained |= set(map(data.path_of, data.images))
                found += check_masks(data, any(
                    node['with_mask'] for node, _, _ in find(
                        tree, ['train_dataloader', '**', 'with_mask'])))
            else:
                found += in_both([image['file_name'] for image in data.images
                                  if data.path_of(image) in trained], data)
            for finding in found:
                _say(finding, f'{where} {path}', level)
            if data.changed:
                out = Path(os.path.abspath(cfg.work_dir), 'annotations',
                           f'{part}_{Path(path).stem}.json')
                write_together({out: data.to_json()})
                dataset[key] = str(out)
                for each, name, _ in evaluators:
                    if osp.normpath(each[name] or '') == osp.normpath(path):
                        each[name] = str(out)


def _say(finding: Finding, about: str, level: int) -> None:
    """Log it, in the first of several processes; an error is raised."""
    if finding.level == 'error':
        raise ValueError(f'{about}: {finding.text}')
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        log(f'{about}: {finding.text}',
            level if finding.level == 'warning' else logging.INFO)
