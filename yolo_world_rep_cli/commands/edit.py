"""Change the classes of a folded checkpoint, fine-tuned or not."""
import argparse

from yolo_world_rep.utils.cli import say, say_notes

from ..models import add_encoder, add_norms, local
from ..parsing import NewFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='folded checkpoint (.pth)')
    parser.add_argument(
        '--out', required=True, type=NewFile(), help='file to write')
    parser.add_argument(
        '--keep', nargs='+', metavar='NAME',
        help='names of the classes to keep, in their new order (default: all)')
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
        args.overwrite, args.encoder, args.norms)
    about = result.meta['yolo_world_rep']
    say_notes(result.notes, args.names)
    say(f'wrote {result.path}: {about["num_classes"]} classes, '
          f'{about["num_guide"]} guides')
    if about['classes']:
        say('classes: ' + ', '.join(about['classes']))
