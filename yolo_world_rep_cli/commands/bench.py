"""Compare the latency of models of any form, which take turns.

Only the model is timed, on images of noise. If some of the models are configs,
give --checkpoint once for each, in the same order.
"""
import argparse
from typing import TYPE_CHECKING, List

from yolo_world_rep.utils.cli import LINES, console, say

from .. import models
from ..parsing import cfg_options, positive

if TYPE_CHECKING:
    from yolo_world_rep.inference.benchmark import Latency


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('model', nargs='+', help=models.MODEL_HELP)
    parser.add_argument('--checkpoint', dest='checkpoints', action='append',
                        metavar='CHECKPOINT', default=[],
                        help='weights for a config, once for each config')
    models.add_words(parser)
    models.add_backend_arguments(parser)
    parser.add_argument('--batch', type=positive,
                        help='images per batch (default: the fixed number of '
                             'a file, otherwise 1)')
    models.add_size_arguments(parser)
    parser.add_argument('--rounds', type=positive, default=30,
                        help='measurements per model (default: 30)')
    parser.add_argument('--warm-up', type=int, default=5, metavar='ROUNDS',
                        help='rounds to run before measuring (default: 5)')
    parser.add_argument(
        '--json', action='store_true', help='print the figures as JSON')


def show(found: 'List[Latency]', rounds: int) -> None:
    """Print a table."""
    from pathlib import Path

    from rich.table import Table
    columns = {
        'model': [Path(each.checkpoint or each.model).name for each in found],
        'runtime': [f'{each.runtime} {each.precision}' for each in found],
        'input': ['x'.join(map(str, each.shape)) for each in found],
        'ms / batch': [f'{each.milliseconds:.2f}' for each in found],
        'ms / image': [f'{each.milliseconds_an_image:.2f}' for each in found],
        'ratio': [f'{each.ratio:.2f}' for each in found]}
    title = f'medians of {rounds} rounds, in turns'
    # Leave the room of a terminal to the names.
    if len({each.shape for each in found}) == 1:
        title += f', input {columns.pop("input")[0]}'
    if all(each.shape[0] == 1 for each in found):
        del columns['ms / batch']
    table = Table(title=title)
    for name in columns:
        numbers = name.startswith('ms') or name == 'ratio'
        table.add_column(name, overflow='fold',
                         justify='right' if numbers else 'left')
    for row in zip(*columns.values()):
        table.add_row(*row)
    console().print(table)


def run(args: argparse.Namespace) -> None:
    import json

    from yolo_world_rep.inference.benchmark import compare_latency
    paths = [models.local(model) for model in args.model]
    models.be_quiet(*paths)
    found = compare_latency(
        paths, list(map(models.local, args.checkpoints)), batch=args.batch,
        image_size=args.img_size and tuple(args.img_size), rounds=args.rounds,
        warm_up=args.warm_up, device=args.device, threads=args.threads,
        precision=args.precision, cfg_options=cfg_options(args.cfg_options),
        words=models.words_of(args), encoder=args.encoder)
    if args.json:
        say(json.dumps([each._asdict() for each in found], indent=1),
            keep=LINES)
    else:
        show(found, args.rounds)
