"""Fold class names, or their embeddings, into a YOLO-World checkpoint."""
import argparse
from typing import TYPE_CHECKING, Mapping

from yolo_world_rep.utils.cli import console, say, say_notes

from ..models import add_norms, add_words, local, words_of
from ..parsing import add_trust

if TYPE_CHECKING:
    from yolo_world_rep.reparam import Conversion


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        'model', nargs='?', metavar='MODEL',
        help='text-conditioned checkpoint (.pth), or the name of a public one')
    source.add_argument('--model', dest='model_option', help=argparse.SUPPRESS)
    parser.add_argument(
        '--out-dir', help='folder for the result (default: that of MODEL; for '
                          'a name, the current folder)')
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument('--text-embed',
                       help='N×D text embeddings (.npy), or "checkpoint" to '
                            'fold its tuned prompts')
    add_words(parser, texts)
    neck = parser.add_mutually_exclusive_group()
    neck.add_argument(
        '--neck-text-embed', help='other embeddings for the neck (.npy)')
    neck.add_argument(
        '--pad', action='store_true',
        help='add the padding prompt to the neck, from the _padded.npy next '
             'to the embeddings (--words adds it by itself)')
    form = parser.add_mutually_exclusive_group()
    # As in version 0.1, where it was not the default.
    form.add_argument('--conv-neck', dest='neck_form', action='store_const',
                      const='rep_conv', default='rep_conv',
                      help=argparse.SUPPRESS)
    form.add_argument('--matrix-neck', dest='neck_form', action='store_const',
                      const='rep_linear',
                      help='store the guides as one matrix per layer '
                           '(default: as convolutions)')
    form.add_argument(
        '--head-only', dest='neck_form', action='store_const', const='text',
        help='fold only the head; the neck keeps its texts')
    add_norms(parser)
    parser.add_argument(
        '--texts', help='JSON file of class texts, for the class names')
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite an existing file')
    add_trust(parser)


def show(conversion: 'Conversion', names: Mapping[str, str]) -> None:
    """Print the check of each layer, what to know, and the path."""
    from rich.table import Table
    table = Table(
        title='largest relative error, folded against text-conditioned')
    for column in ('layer', 'kind', 'N', 'float64', 'as stored'):
        table.add_column(column, overflow='fold')
    for check in conversion.checks:
        table.add_row(
            check.name.replace('bbox_head.head_module.', ''), check.kind,
            str(check.num_texts), f'{check.exact:.1e}', f'{check.stored:.1e}')
    console().print(table)
    say_notes(conversion.notes, names)
    say(f'wrote {conversion.path}')


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from yolo_world_rep.utils.public_models import public_models
    model = args.model or args.model_option
    if args.words and (args.pad or args.neck_text_embed):
        raise ValueError('--words brings the padding for the neck: leave '
                         '--pad and --neck-text-embed out.')
    path = local(model)
    from yolo_world_rep.reparam import convert_checkpoint
    show(
        convert_checkpoint(
            path, args.text_embed, args.out_dir or Path(model).parent,
            neck_form=args.neck_form, texts=args.texts,
            neck_text_embed=args.neck_text_embed, pad=args.pad,
            overwrite=args.overwrite, trust=args.trust, words=words_of(args),
            encoder=args.encoder, norms=args.norms,
            name=model if model in public_models() else None), args.names)
