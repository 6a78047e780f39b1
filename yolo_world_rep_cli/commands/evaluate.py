"""Average precision of any model on data in COCO's format."""
import argparse

from yolo_world_rep.utils.cli import progress, say

from .. import models
from ..parsing import NewFile, existing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_model_arguments(parser)
    parser.add_argument('annotations', help='COCO annotation file')
    parser.add_argument('images', type=existing, help='folder of the images')
    parser.add_argument('--per-class', action='store_true',
                        help='also print the AP of each class')
    parser.add_argument('--json-out', type=NewFile(),
                        help='write the figures to this file')


def run(args: argparse.Namespace) -> None:
    import json
    from pathlib import Path

    from yolo_world_rep.detector.evaluation import (
        evaluate,
        quiet_coco,
        without_nan,
    )
    from yolo_world_rep.utils.files import atomic_path
    count = len(quiet_coco(args.annotations).dataset['images'])
    with models.open_predictor(args) as predictor:
        say(models.describe(predictor))
        with progress(count) as advance:
            scores = evaluate(predictor, args.annotations, args.images,
                              args.per_class, advance)
        scores.update(
            model=predictor.backend.path.name, runtime=predictor.backend.name,
            precision=predictor.backend.precision)
    for name, value in scores.items():
        if isinstance(value, float):
            say(f'{name:14} {value:.4f}')
    for name, value in scores.get('per_class', {}).items():
        say(f'{value:.4f} {name}')
    say(f'{scores["images"]} images, {scores["detections"]} detections')
    if args.json_out:
        with atomic_path(Path(args.json_out)) as temporary:
            temporary.write_text(
                json.dumps(without_nan(scores), indent=1), encoding='utf-8')
