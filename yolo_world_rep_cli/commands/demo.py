"""Train, fold, verify, fine-tune and compare on generated images."""
import argparse

from ..parsing import positive

IMAGES = (('train', 1600, 'to train the text-conditioned model with'),
          ('val', 200, 'to evaluate'), ('finetune', 320, 'to fine-tune with'))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument('--work-dir', default='work_dirs/demo',
                        help='folder for all output')
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of images and trainings')
    parser.add_argument('--epochs', type=positive, default=6,
                        help='epochs of the text-conditioned training')
    parser.add_argument('--finetune-epochs', type=positive, default=8,
                        help='epochs of the fine-tuning')
    parser.add_argument(
        '--threads', type=positive, default=1,
        help='threads of torch; more than one helps only on an idle machine')
    for name, count, what in IMAGES:
        parser.add_argument(f'--{name}-images', type=positive, default=count,
                            help=f'number of images {what}')


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from yolo_world_rep.demo.story import Options, Story
    from yolo_world_rep.demo.world import Sizes
    from yolo_world_rep.utils.configs import config_root
    configs = config_root()
    Story(
        Options(
            work_dir=Path(args.work_dir), tools=configs.parent / 'tools',
            configs=configs / 'demo', seed=args.seed,
            sizes=Sizes(args.train_images, args.val_images,
                        args.finetune_images), epochs=args.epochs,
            finetune_epochs=args.finetune_epochs, threads=args.threads)).run()
