"""Write a report on a training: curves, classes, mistakes, commands."""
import argparse

from yolo_world_rep.utils.cli import say

from ..parsing import add_device, add_font, existing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', type=existing,
                        help='folder of the training')
    parser.add_argument(
        '--before', help='checkpoint it started from (default: the config\'s '
        'load_from)')
    parser.add_argument(
        '--after', help='trained checkpoint (default: the best one, otherwise '
                        'the last)')
    add_font(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.report import write_report
    path = write_report(args.work_dir, args.before, args.after, args.device,
                        args.font)
    say(f'wrote {path.with_suffix(".html")} and {path}')
