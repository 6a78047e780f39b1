#!/usr/bin/env python
"""Train, fold, verify, fine-tune and compare on images made on the fly."""
import argparse
import os
from pathlib import Path

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from yolo_world_rep.demo.story import Options, Story  # noqa: E402
from yolo_world_rep.demo.world import Sizes  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

HERE = Path(__file__).resolve().parent


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected 1 or more')
    return number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    defaults = Sizes()
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='folder of everything that is written')
    parser.add_argument(
        '--seed', type=int, default=0, help='of images and trainings')
    parser.add_argument(
        '--epochs',
        type=positive,
        default=Options.epochs,
        help='of the text-conditioned training')
    parser.add_argument(
        '--finetune-epochs',
        type=positive,
        default=Options.finetune_epochs,
        help='of the fine-tuning')
    parser.add_argument(
        '--threads',
        type=positive,
        default=Options.threads,
        help='of torch; more than one pays on an idle machine only')
    for name, what in (('train', 'to train the text-conditioned model with'),
                       ('val', 'to evaluate'), ('finetune',
                                                'to fine-tune with')):
        parser.add_argument(
            f'--{name}-images',
            type=positive,
            default=getattr(defaults, name),
            help=f'number of images {what}')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    Story(
        Options(
            work_dir=Path(args.work_dir),
            tools=HERE,
            configs=HERE.parent / 'configs' / 'demo',
            seed=args.seed,
            sizes=Sizes(args.train_images, args.val_images,
                        args.finetune_images),
            epochs=args.epochs,
            finetune_epochs=args.finetune_epochs,
            threads=args.threads)).run()


if __name__ == '__main__':
    cli.run(main)
