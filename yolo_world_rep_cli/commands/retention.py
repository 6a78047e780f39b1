"""AP of held-out classes before and after fine-tuning a folded model."""
import argparse

from yolo_world_rep.utils.cli import console

from ..models import add_norms
from ..parsing import add_cfg_options, cfg_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'config', help='folded config whose test data have all classes')
    parser.add_argument(
        '--before', required=True, help='folded checkpoint before training')
    parser.add_argument('--after', required=True, help='after training')
    parser.add_argument(
        '--text-embed', required=True,
        help='embeddings of the held-out classes (.npy with its .json)')
    parser.add_argument(
        '--alphas', nargs='*', type=float, default=[],
        help='also evaluate interpolated weights, for example at 0.5')
    parser.add_argument('--work-dir', help='folder for the AP of each class')
    add_norms(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> None:
    import tempfile

    from rich.table import Table

    from yolo_world_rep.report.retention import between, evaluate_retention
    with tempfile.TemporaryDirectory() as folder:
        points = between(args.before, args.after, args.alphas, folder)
        results = evaluate_retention(args.config, points, args.text_embed,
                                     args.work_dir,
                                     cfg_options(args.cfg_options),
                                     args.norms)
    table = Table('checkpoint', 'tuned classes', 'held-out classes',
                  title='AP with the held-out classes added')
    for each in results:
        table.add_row(each.name, f'{each.tuned:.3f}', f'{each.held_out:.3f}')
    console().print(table)
