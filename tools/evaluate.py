#!/usr/bin/env python
"""Average precision of any form of a model on data in COCO's format."""
import argparse
import json
import math
import os
from pathlib import Path

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from yolo_world_rep.inference import command  # noqa: E402
from yolo_world_rep.inference.evaluation import (  # noqa: E402
    evaluate,
    quiet_coco,
)
from yolo_world_rep.utils import cli  # noqa: E402
from yolo_world_rep.utils.files import atomic_path  # noqa: E402


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    command.add_model_arguments(parser)
    parser.add_argument('annotations', help='COCO file of the truth')
    parser.add_argument('images', help='folder of its images')
    parser.add_argument(
        '--per-class', action='store_true', help='AP of each class too')
    parser.add_argument('--json-out', help='write the figures to this file')
    return parser.parse_args()


def main() -> None:
    """Evaluate one model."""
    args = parse_args()
    count = len(quiet_coco(args.annotations).dataset['images'])
    with command.open_predictor(args) as predictor:
        print(command.describe(predictor))
        with command.progress(count) as advance:
            scores = evaluate(predictor, args.annotations, args.images,
                              args.per_class, advance)
        scores.update(
            model=predictor.backend.path.name,
            runtime=predictor.backend.name,
            precision=predictor.backend.precision)
    for name, value in scores.items():
        if isinstance(value, float):
            print(f'{name:10} {value:.4f}')
    for name, value in scores.get('per_class', {}).items():
        print(f'{value:.4f} {name}')
    print(f'{scores["images"]} images, {scores["detections"]} detections')
    if args.json_out:
        # JSON has no NaN.
        plain = {
            name: None if isinstance(value, float) and math.isnan(value) else
            value for name, value in scores.items()
        }
        if 'per_class' in plain:
            plain['per_class'] = {
                name: None if math.isnan(value) else value
                for name, value in plain['per_class'].items()
            }
        with atomic_path(Path(args.json_out)) as temporary:
            temporary.write_text(json.dumps(plain, indent=1))


if __name__ == '__main__':
    cli.run(main)
