"""AP of held-out classes before and after fine-tuning a folded model."""
import argparse
import os
import tempfile

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from mmengine.config import DictAction  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from yolo_world_rep.engine.retention import (  # noqa: E402
    between,
    evaluate_retention,
)
from yolo_world_rep.utils import cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config', help='rep config whose test data have all the classes')
    parser.add_argument(
        '--before', required=True, help='folded checkpoint before training')
    parser.add_argument('--after', required=True, help='the same after it')
    parser.add_argument(
        '--text-embed',
        required=True,
        help='embeddings of the held-out classes (.npy with its sidecar)')
    parser.add_argument(
        '--alphas',
        nargs='*',
        type=float,
        default=[],
        help='points between both to evaluate as well, such as 0.5')
    parser.add_argument('--work-dir', help='folder of logs')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args()


def main() -> None:
    """Evaluate and print one table."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        points = between(args.before, args.after, args.alphas, folder)
        results = evaluate_retention(args.config, points, args.text_embed,
                                     args.work_dir, args.cfg_options)
    table = Table(title='AP with the held-out classes added')
    for column in ('checkpoint', 'tuned classes', 'held-out classes'):
        table.add_column(column)
    for each in results:
        table.add_row(each.name, f'{each.tuned:.3f}', f'{each.held_out:.3f}')
    Console().print(table)


if __name__ == '__main__':
    cli.run(main)
