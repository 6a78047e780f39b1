"""Average precision of any form of a model on data in COCO's format."""
import argparse
from typing import Any, Dict

from .. import models
from ..ending import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model and the data."""
    models.add_model_arguments(parser)
    parser.add_argument('annotations', help='COCO file of the truth')
    parser.add_argument('images', help='folder of its images')
    parser.add_argument(
        '--per-class', action='store_true', help='AP of each class too')
    parser.add_argument('--json-out', help='write the figures to this file')


def run(args: argparse.Namespace) -> None:
    """Evaluate one model."""
    import json
    import math
    from pathlib import Path

    from yolo_world_rep.inference.evaluation import evaluate, quiet_coco
    from yolo_world_rep.utils.files import atomic_path
    count = len(quiet_coco(args.annotations).dataset['images'])
    with models.open_predictor(args) as predictor:
        say(models.describe(predictor))
        with models.progress(count) as advance:
            scores = evaluate(predictor, args.annotations, args.images,
                              args.per_class, advance)
        scores.update(
            model=predictor.backend.path.name,
            runtime=predictor.backend.name,
            precision=predictor.backend.precision)
    for name, value in scores.items():
        if isinstance(value, float):
            say(f'{name:14} {value:.4f}')
    for name, value in scores.get('per_class', {}).items():
        say(f'{value:.4f} {name}')
    say(f'{scores["images"]} images, {scores["detections"]} detections')
    if args.json_out:
        # JSON has no NaN.
        plain: Dict[str, Any] = {
            name: None if isinstance(value, float) and math.isnan(value) else
            value for name, value in scores.items()
        }
        if 'per_class' in plain:
            plain['per_class'] = {
                name: None if math.isnan(value) else value
                for name, value in plain['per_class'].items()
            }
        with atomic_path(Path(args.json_out)) as temporary:
            temporary.write_text(json.dumps(plain, indent=1), encoding='utf-8')
