"""What the commands that detect share."""
import argparse
import sys
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

import cv2
from mmengine.config import DictAction
from mmengine.logging import MMLogger

from .predictor import Predictor


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which model runs, and how."""
    parser.add_argument(
        'model',
        help='config (.py, with --checkpoint) or exported file (.onnx, .xml, '
        '.torchscript, .pt)')
    parser.add_argument('--checkpoint', help='weights of a config')
    parser.add_argument(
        '--device', default='cpu', help='cpu, cuda:0, ... (default: cpu)')
    parser.add_argument(
        '--threads', type=int, help='of the runtime (default: its choice)')
    parser.add_argument(
        '--precision',
        help='OpenVINO computes in f32, bf16 or f16 (default: f32)')
    parser.add_argument(
        '--batch', type=int, help='images at a time (default: 1)')
    parser.add_argument(
        '--workers',
        type=int,
        default=2,
        help='threads that load images (default: 2)')
    parser.add_argument(
        '--img-size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='size of the input, where the model takes any')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override in a config, key=value')


def open_predictor(args: argparse.Namespace, **settings: Any) -> Predictor:
    """The predictor of :func:`add_model_arguments`."""
    MMLogger.get_current_instance().setLevel('WARNING')
    # One thread an image: they work on several at the same time anyhow.
    cv2.setNumThreads(1)
    return Predictor(
        args.model,
        args.checkpoint,
        device=args.device,
        threads=args.threads,
        precision=args.precision,
        batch_size=args.batch,
        workers=args.workers,
        image_size=args.img_size and tuple(args.img_size),
        cfg_options=args.cfg_options,
        **settings)


def describe(predictor: Predictor) -> str:
    """One line on what runs."""
    backend, spec = predictor.backend, predictor.spec
    height, width = predictor.preprocess.size
    weights = '' if spec.precision == 'fp32' else f', {spec.precision} weights'
    return (f'{backend.name} in {backend.precision}: {backend.path.name}'
            f'{weights}, {len(spec.classes)} classes, {height}x{width}, '
            f'batch {predictor.batch_size}, score > '
            f'{predictor.postprocess.score_threshold:g}')


@contextmanager
def progress(total: Optional[int]) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error, where that is a terminal.

    Args:
        total (int, optional): Images to come, None if nobody knows.

    Yields:
        Callable: To be called after each image.
    """
    from rich import progress as bars
    from rich.console import Console
    with bars.Progress(
            bars.TextColumn('{task.description}'),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn('{task.fields[speed]}'),
            bars.TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True) as bar:
        task = bar.add_task('images', total=total, speed='')

        def advance() -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                advance=1,
                speed=f'{speed:.1f}/s' if speed else '')

        yield advance
