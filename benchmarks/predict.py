"""Throughput from image files to detections, against the bare runtime's.

The runtime alone runs the same batches, which lie ready in memory, once one
after the other on all threads and once as many at a time as it says is best.
Those and the whole way, which is what tools/predict.py does without writing
anything, take turns, so that what else the machine does meets all of them.
The figure is the whole way's images a second over the better of the two,
round by round; the median is what counts.

    python benchmarks/predict.py MODEL IMAGES --threads 2 --rounds 5
"""
import argparse
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, List

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from yolo_world_rep.inference import (  # noqa: E402
    Backend,
    Predictor,
    open_backend,
)
from yolo_world_rep.inference.images import read_image  # noqa: E402
from yolo_world_rep.inference.letterbox import Preprocess  # noqa: E402
from yolo_world_rep.inference.sources import find_files  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402
from yolo_world_rep.utils.files import atomic_path  # noqa: E402
from yolo_world_rep_cli import models  # noqa: E402
from yolo_world_rep_cli.parsing import cfg_options  # noqa: E402

READY = 8  # batches in memory that the bare runtime goes round


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models.add_model_arguments(parser, scores='0.25')
    parser.add_argument('images', nargs='+', help='files or folders')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/predict.json'))
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error(f'--rounds {args.rounds}: expected 2 or more')
    return args


def bare(backend: Backend, batches: List[np.ndarray],
         count: int) -> Callable[[], float]:
    """Images a second of a runtime that is never kept waiting."""

    def run() -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(backend.concurrency) as pool:
            list(
                pool.map(lambda i: len(backend.run(batches[i % READY])),
                         range(count)))
        size = len(batches[0])
        return count * size / (time.perf_counter() - start)

    return run


def whole(predictor: Predictor, files: List[Path]) -> Callable[[], float]:
    """Images a second from files to detections."""

    def run() -> float:
        start = time.perf_counter()
        found = sum(1 for _ in predictor.stream(files))
        return found / (time.perf_counter() - start)

    return run


def ready(predictor: Predictor, files: List[Path]) -> List[np.ndarray]:
    """Batches of the images."""
    preprocess = Preprocess(predictor.spec, predictor.preprocess.size)
    planes = [
        preprocess(read_image(files[i % len(files)]))[0]
        for i in range(READY * predictor.batch_size)
    ]
    size = predictor.batch_size
    return [
        np.stack(planes[start:start + size])
        for start in range(0, len(planes), size)
    ]


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    files = find_files(args.images)
    console = Console()
    predictor = models.open_predictor(args, score_threshold=0.25)
    alone = open_backend(
        args.model,
        args.checkpoint,
        device=args.device,
        threads=args.threads,
        precision=args.precision,
        cfg_options=cfg_options(args.cfg_options))
    batches = ready(predictor, files)
    count = max(1, len(files) // predictor.batch_size)
    runs: Dict[str, Callable[[], float]] = {
        'runtime, one batch at a time': bare(alone, batches, count),
        f'runtime, {predictor.backend.concurrency} at a time':
        bare(predictor.backend, batches, count),
        'files to detections': whole(predictor, files),
    }
    for backend in (alone, predictor.backend):
        bare(backend, batches, 4)()  # it prepares itself in its first runs
    speeds: Dict[str, List[float]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(args.rounds):
        for name in order:
            speeds[name].append(runs[name]())
        order.append(order.pop(0))
    *runtime, last = speeds.values()
    ratios = [
        end / max(best) for end, *best in zip(last, *runtime)
    ]
    table = Table(title=models.describe(predictor))
    table.add_column('what')
    table.add_column('images/s, median', justify='right')
    table.add_column('of the rounds', justify='right')
    for name, values in speeds.items():
        table.add_row(name, f'{statistics.median(values):.2f}',
                      ' '.join(f'{value:.2f}' for value in values))
    table.add_row('the whole way ÷ the better runtime',
                  f'{statistics.median(ratios):.3f}',
                  ' '.join(f'{value:.3f}' for value in ratios))
    console.print(table)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out) as temporary:
        temporary.write_text(
            json.dumps(
                dict(
                    model=models.describe(predictor),
                    images=len(files),
                    threads=args.threads,
                    cores=os.cpu_count(),
                    speeds=speeds,
                    ratios=ratios,
                    ratio=statistics.median(ratios)),
                indent=1), encoding='utf-8')
    console.print(f'written: {args.out}')


if __name__ == '__main__':
    cli.run(main)
