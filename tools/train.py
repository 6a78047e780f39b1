#!/usr/bin/env python
"""Train a detector from a config file."""
import argparse
import os

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from mmengine.config import Config  # noqa: E402

from yolo_world_rep.engine import launch  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision; without a GPU that is bfloat16')
    parser.add_argument(
        '--skip-unreadable',
        action='store_true',
        help='leave out images that cannot be read, with a warning')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='go on from a checkpoint, or from the last one in the work-dir')
    return launch.parse_run_args(parser)


def main() -> None:
    args = parse_args()
    cfg = launch.config_for_training(
        Config.fromfile(args.config),
        args.config,
        work_dir=args.work_dir,
        amp=args.amp,
        resume=args.resume,
        cfg_options=args.cfg_options,
        launcher=args.launcher,
        skip_unreadable=args.skip_unreadable)
    launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
    launch.train(launch.build_runner(cfg))


if __name__ == '__main__':
    cli.run(main)
