#!/usr/bin/env python
"""Write the report on a training: curves, classes, mistakes, commands."""
import argparse
import os

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from yolo_world_rep.engine.report import write_report  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='folder of the training')
    parser.add_argument(
        '--before', help='checkpoint it started from (default: the config\'s '
        'load_from)')
    parser.add_argument(
        '--after', help='trained checkpoint (default: the best, else the '
        'last)')
    parser.add_argument('--device', default='cpu', help='such as cuda:0')
    return parser.parse_args()


def main() -> None:
    """Write one report."""
    args = parse_args()
    path = write_report(args.work_dir, args.before, args.after, args.device)
    print(f'wrote {path}')


if __name__ == '__main__':
    cli.run(main)
