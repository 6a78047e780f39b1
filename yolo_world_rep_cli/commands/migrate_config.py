"""Rewrite a config of the original YOLO-World so that it runs here."""
import argparse

from yolo_world_rep.utils.cli import say

from ..parsing import NewFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', metavar='FILE', help='config file')
    parser.add_argument('--out', required=True, metavar='NEW',
                        type=NewFile('.py'), help='config to write (.py)')


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.config.migration import migrate_config
    done = migrate_config(args.config, args.out)
    for change in done.changes or ('nothing to change', ):
        say(change)
    for remark in done.remarks:
        say(f'to do: {remark}')
    say(f'wrote {done.path}')
