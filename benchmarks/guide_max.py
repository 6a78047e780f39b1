"""The guide maximum on a GPU: products and maxima against the Triton kernel.

Both compute the maxima over N guides at the 80×80 positions of the largest
attention layer of L, without gradients and with. They take turns, timed by
events, several calls at a time. Prints a table, writes JSON and a picture.

    python benchmarks/guide_max.py --classes 80 1203 --batch 1 16
"""
import argparse
import statistics
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
from detectors import measure, positive, require_device, write_report
from rich.console import Console
from rich.table import Table

from yolo_world_rep.reparam import guide_max_triton
from yolo_world_rep.reparam.guide_max import _GuideMax, guide_max
from yolo_world_rep.utils import cli

HEADS, WIDTH, POSITIONS = 4, 32, 6400
CALLS = 10
DTYPES = ('float32', 'float16', 'bfloat16')
DENSE, KERNEL = WAYS = ('products and maxima', 'Triton kernel')


def prepare(way: str, dtype: str, batch: int, classes: int,
            gradients: bool) -> Callable[[], None]:
    """Some calls of one way."""
    kind = getattr(torch, dtype)
    embed = torch.randn(
        batch, HEADS, WIDTH, POSITIONS, device='cuda', dtype=kind)
    guide = torch.randn(HEADS, classes, WIDTH, device='cuda', dtype=kind)
    grad = torch.randn(batch, HEADS, POSITIONS, device='cuda', dtype=kind)
    embed.requires_grad_(gradients)
    guide.requires_grad_(gradients)
    # With few guides the package does not ask for the kernel in training.
    function = _GuideMax.apply if way == KERNEL and gradients else guide_max

    def run() -> None:
        # What the package decides by itself.
        guide_max_triton.is_chosen = lambda *args: way == KERNEL
        for _ in range(CALLS):
            peak = function(embed, guide)
            if gradients:
                peak.backward(grad)

    return run


def compare(dtype: str, batch: int, classes: int, gradients: bool,
            rounds: int) -> List[Dict[str, Any]]:
    """A row for each way."""
    case = dict(
        dtype=dtype, batch=batch, classes=classes, gradients=gradients)
    times = measure({way: prepare(way, **case) for way in WAYS}, rounds,
                    'cuda')
    return [
        dict(
            case,
            way=way,
            median_ms=statistics.median(values) / CALLS,
            ratio=statistics.median(
                one / other for one, other in zip(values, times[DENSE])),
            times_ms=[value / CALLS for value in values])
        for way, values in times.items()
    ]


def table_of(rows: List[Dict[str, Any]]) -> Table:
    """The rows for the terminal."""
    table = Table(title='Maxima over guides; ratios are medians of rounds')
    for name in ('type', 'batch', 'classes', 'gradients', 'way', 'ms',
                 '÷ products'):
        table.add_column(name, justify='right')
    for row in rows:
        table.add_row(row['dtype'], str(row['batch']), f'{row["classes"]:,}',
                      'yes' if row['gradients'] else 'no', row['way'],
                      f'{row["median_ms"]:.3f}', f'{row["ratio"]:.2f}')
    return table


def plot(rows: List[Dict[str, Any]], path: Path) -> None:
    """The ratios as bars."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    own = [row for row in rows if row['way'] == KERNEL]
    figure, panel = plt.subplots(figsize=(8, 4), layout='constrained')
    panel.barh([
        f'{row["dtype"]}, batch {row["batch"]}, {row["classes"]:,} classes'
        f'{", gradients" if row["gradients"] else ""}' for row in own
    ], [row['ratio'] for row in own])
    panel.axvline(1., color='black')
    panel.set_xlabel('kernel ÷ products and maxima')
    figure.savefig(path, format='png', dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--classes', nargs='+', type=positive, default=[80, 1203])
    parser.add_argument('--batch', nargs='+', type=positive, default=[1, 16])
    parser.add_argument('--dtypes', nargs='+', choices=DTYPES, default=DTYPES)
    parser.add_argument('--rounds', type=positive, default=50)
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/guide_max.json'))
    args = parser.parse_args()
    args.device, args.threads = 'cuda', torch.get_num_threads()
    require_device(args.device)
    rows = [
        row for dtype in args.dtypes for batch in args.batch
        for classes in args.classes for gradients in (False, True)
        for row in compare(dtype, batch, classes, gradients, args.rounds)
    ]
    console = Console()
    console.width = max(console.width, 100)
    console.print(table_of(rows))
    console.print(write_report(rows, args, plot))


if __name__ == '__main__':
    cli.run(main)
