"""Change the classes of a folded checkpoint, fine-tuned or not."""
import argparse
from typing import Tuple

from yolo_world_rep.utils.cli import say, say_notes

from ..models import add_encoder, add_norms, local
from ..parsing import NewFile


def renamed(word: str) -> Tuple[str, str]:
    """``OLD=NEW``, as the type of an argument."""
    old, _, new = word.partition('=')
    if not (old and new):
        raise argparse.ArgumentTypeError(f'{word}: expected OLD=NEW')
    return old, new


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='folded checkpoint (.pth)')
    parser.add_argument(
        '--out', required=True, type=NewFile(), help='file to write')
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument(
        '--keep', nargs='+', metavar='NAME',
        help='names of the classes to keep, in their new order (default: all)')
    stay.add_argument('--drop', nargs='+', metavar='NAME',
                      help='names of the classes to leave out')
    parser.add_argument(
        '--rename', nargs='+', type=renamed, metavar='OLD=NEW',
        help='other names for classes, whose weights stay as they are')
    parser.add_argument('--order', nargs='+', metavar='NAME',
                        help='all names of the result, in their new order')
    new = parser.add_mutually_exclusive_group()
    new.add_argument(
        '--add', help='classes to add: embeddings (.npy), or a file of names')
    new.add_argument('--add-words', dest='add', nargs='+', metavar='NAME',
                     help='names of classes to add')
    new.add_argument(
        '--replace', help='classes to replace all others: as for --add')
    new.add_argument('--replace-words', dest='replace', nargs='+',
                     metavar='NAME', help='names of classes to replace all')
    add_encoder(parser)
    add_norms(parser)
    parser.add_argument(
        '--texts', help='JSON file with the names of the rows of a .npy')
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite an existing file')


def run(args: argparse.Namespace) -> None:
    path = local(args.checkpoint)
    from yolo_world_rep.reparam.editing import edit_checkpoint
    result = edit_checkpoint(
        path, args.out, args.keep, args.add, args.replace, args.texts,
        args.overwrite, args.encoder, args.norms, drop=args.drop,
        rename=dict(args.rename or ()), order=args.order)
    about = result.meta['yolo_world_rep']
    say_notes(result.notes, args.names)
    say(f'wrote {result.path}: {about["num_classes"]} classes, '
          f'{about["num_guide"]} guides')
    if about['classes']:
        say('classes: ' + ', '.join(about['classes']))
