"""Average precision of any model on data in COCO's format."""
import argparse
from typing import TYPE_CHECKING

from yolo_world_rep.utils.cli import progress, say

from .. import models
from ..parsing import NewFile, existing
from . import new_config

if TYPE_CHECKING:
    from yolo_world_rep.datasets.annotations import Annotations

# What says where the data of --data are, and how their labels are read.
OF_FOLDERS = ('train_ann', 'val_ann', 'train_img', 'val_img', 'val_fraction',
              'classes', 'exif')


def add_split(parser: argparse.ArgumentParser, only: bool = True) -> None:
    """Data as ``train --data`` takes them."""
    new_config.add_data(parser, required=False, only=only)
    parser.add_argument('--split', choices=['train', 'val', 'test'],
                        default='val', help='of --data (default: val)')


def truth_of(args: argparse.Namespace) -> 'Annotations':
    """What the model is compared with."""
    from yolo_world_rep.config.own_data import read_split
    from yolo_world_rep.datasets.annotations import read_coco
    from yolo_world_rep.datasets.categories import CategoryChoice, choose
    if args.data is None and args.images is not None:
        given = [args.names[name] for name in OF_FOLDERS
                 if getattr(args, name) is not None]
        if given:
            raise ValueError(f'{given[0]} goes with --data.')
        truth = read_coco(args.annotations, args.images, sizes=False)
        return choose(truth, CategoryChoice(**new_config.choice_of(args)))
    if args.data is None or args.annotations is not None:
        raise ValueError('expected the annotations and the folder of their '
                         'images, or --data.')
    layout = new_config.layout_of(args)
    truth = read_split(layout, args.split)
    say(f'{args.split}: {layout.origin(args.split)}, {len(truth.images)} '
        f'images, {len(truth.boxes)} boxes')
    return truth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_model_arguments(parser)
    parser.add_argument(
        'annotations', nargs='?', help='COCO annotation file')
    parser.add_argument(
        'images', nargs='?', type=existing, help='folder of the images')
    add_split(parser, only=False)
    parser.add_argument('--per-class', action='store_true',
                        help='also print the AP of each class')
    parser.add_argument('--json-out', type=NewFile(),
                        help='write the figures to this file')


def run(args: argparse.Namespace) -> None:
    import json
    from pathlib import Path

    from yolo_world_rep.detector.evaluation import evaluate, without_nan
    from yolo_world_rep.utils.files import atomic_path
    truth = truth_of(args)
    with models.open_predictor(args) as predictor:
        say(models.describe(predictor))
        with progress(len(truth.images)) as advance:
            scores = evaluate(predictor, truth, truth.images_dir,
                              args.per_class, advance)
        scores.update(
            model=predictor.backend.path.name, runtime=predictor.backend.name,
            precision=predictor.backend.precision)
    for name, value in scores.items():
        if isinstance(value, float):
            say(f'{name:14} {value:.4f}')
    for name, value in scores.get('per_class', {}).items():
        say(f'{value:.4f} {name}')
    say(f'{scores["images"]} images, {scores["detections"]} detections, '
        f'the best {scores["max_detections"]} of a class in an image count')
    if args.json_out:
        with atomic_path(Path(args.json_out)) as temporary:
            temporary.write_text(
                json.dumps(without_nan(scores), indent=1), encoding='utf-8')
