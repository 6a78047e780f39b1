"""Latency and size of exported files, INT8 among them.

All files run in turn in one process, so that what else the machine does
meets all of them; the time of the processor, summed over its threads, says
less about the wait and is disturbed less by others. Ratios are to the first
file in each runtime, and to the first of all. An OpenVINO file may be named
twice, with the precision it computes in behind a colon. The images are noise:
the time does not depend on them. Without pre- and post-processing.

    python tools/export.py CONFIG CKPT --img-size 640 640
    python tools/export.py CONFIG CKPT --img-size 640 640 --int8 \
        --calibration IMAGES
    python benchmarks/quantize.py work_dirs/export/NAME.onnx \
        work_dirs/export/NAME_int8.onnx work_dirs/export/NAME.xml \
        work_dirs/export/NAME.xml:bf16 work_dirs/export/NAME_int8.xml
"""
import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from rich.console import Console
from rich.table import Table

from yolo_world_rep.deploy.export import FORMATS
from yolo_world_rep.inference.backends import Backend, open_backend
from yolo_world_rep.utils import cli
from yolo_world_rep.utils.files import atomic_path

WARM_UP = 3


def open_file(text: str, threads: int) -> Backend:
    """A file, perhaps with the precision to compute in behind a colon."""
    path, _, precision = text.partition(':')
    return open_backend(path, threads=threads, precision=precision or None)


def size_of(path: Path) -> int:
    """Bytes of a file and of those that go with it."""
    suffixes = next(names for names in FORMATS.values()
                    if names[0] == path.suffix)
    return sum(path.with_suffix(name).stat().st_size for name in suffixes)


def measure(backends: Dict[str, Backend],
            rounds: int) -> Dict[str, List[Tuple[float, float]]]:
    """Milliseconds on the clock and of the processor, file by file.

    They take turns at being first.
    """
    generator = np.random.default_rng(0)
    inputs = {
        name: generator.random(
            (backend.spec.batch or 1, 3, *backend.spec.image_size),
            np.float32)
        for name, backend in backends.items()
    }
    times: Dict[str, List[Tuple[float, float]]] = {
        name: []
        for name in backends
    }
    order = list(backends)
    for number in range(-WARM_UP, rounds):
        for name in order:
            clock, processor = time.perf_counter(), time.process_time()
            backends[name].run(inputs[name])
            if number >= 0:
                times[name].append(((time.perf_counter() - clock) * 1e3,
                                    (time.process_time() - processor) * 1e3))
        order.append(order.pop(0))
    return times


def rows_of(backends: Dict[str, Backend],
            times: Dict[str, List[Tuple[float, float]]]
            ) -> List[Dict[str, Any]]:
    """What was measured, a row a file."""
    clock = {name: [pair[0] for pair in times[name]] for name in times}
    medians = {name: statistics.median(clock[name]) for name in times}
    processor = {
        name: statistics.median(pair[1] for pair in times[name])
        for name in times
    }
    firsts: Dict[str, str] = {}
    rows = []
    for name, backend in backends.items():
        first = firsts.setdefault(backend.name, name)
        low, _, high = statistics.quantiles(clock[name], n=4)
        rows.append(
            dict(
                file=Path(name).name,
                runtime=backend.name,
                weights=backend.spec.precision,
                computes=backend.precision,
                image_size=backend.spec.image_size,
                megabytes=size_of(backend.path) / 1e6,
                median_ms=medians[name],
                quartiles_ms=[low, high],
                processor_ms=processor[name],
                of_runtime=medians[name] / medians[first],
                processor_of_runtime=processor[name] / processor[first],
                of_first=medians[name] / medians[next(iter(medians))],
                times_ms=clock[name]))
    return rows


def table_of(rows: List[Dict[str, Any]]) -> Table:
    """The rows for the terminal."""
    table = Table(title='A batch, without pre- and post-processing')
    for name in ('file', 'runtime', 'weights', 'in', 'MB', 'median ms',
                 'quartiles', '÷ runtime\'s first', '÷ first', 'CPU ms',
                 '÷ runtime\'s first'):
        table.add_column(name, justify='right')
    for row in rows:
        low, high = row['quartiles_ms']
        table.add_row(row['file'], row['runtime'], row['weights'],
                      row['computes'], f'{row["megabytes"]:.1f}',
                      f'{row["median_ms"]:.1f}', f'{low:.1f}–{high:.1f}',
                      f'{row["of_runtime"]:.3f}', f'{row["of_first"]:.3f}',
                      f'{row["processor_ms"]:.1f}',
                      f'{row["processor_of_runtime"]:.3f}')
    return table


def parse_args() -> Tuple[argparse.Namespace, Path]:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('files', nargs='+', metavar='FILE[:PRECISION]')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--out', default='work_dirs/quantize.json')
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error(f'--rounds {args.rounds}: expected 2 or more')
    return args, Path(args.out)


def main() -> None:
    """Measure, print and write."""
    args, out = parse_args()
    console = Console()
    console.width = max(console.width, 140)
    backends = {text: open_file(text, args.threads) for text in args.files}
    rows = rows_of(backends, measure(backends, args.rounds))
    console.print(table_of(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        temporary.write_text(
            json.dumps(
                dict(
                    machine=platform.machine(),
                    cores=os.cpu_count(),
                    threads=args.threads,
                    rounds=args.rounds,
                    rows=rows),
                indent=1), encoding='utf-8')
    console.print(f'written: {out}')


if __name__ == '__main__':
    cli.run(main)
