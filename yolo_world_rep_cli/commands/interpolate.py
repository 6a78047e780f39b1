"""Average the weights of a folded checkpoint and its fine-tuned version."""
import argparse

from yolo_world_rep.utils.cli import say

from ..parsing import NewFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('before', help='folded checkpoint before training')
    parser.add_argument('after', help='after training')
    parser.add_argument('--alpha', type=float, required=True,
                        help='weight of AFTER, from 0 to 1')
    parser.add_argument(
        '--out', required=True, type=NewFile(), help='file to write')
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite an existing file')


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.reparam.interpolation import interpolate_checkpoints
    path = interpolate_checkpoints(args.before, args.after, args.alpha,
                                   args.out, args.overwrite)
    say(f'wrote {path}')
