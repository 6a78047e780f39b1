"""Export a folded detector to a file for a runtime, and check the file."""
import argparse
from typing import TYPE_CHECKING, Mapping, Optional

from yolo_world_rep.utils.cli import LINES, as_options, console, say, say_notes

from ..models import (
    add_detections,
    add_words,
    config_and_checkpoint,
    detections_of,
    words_of,
)
from ..parsing import add_cfg_options, cfg_options, positive

if TYPE_CHECKING:
    from yolo_world_rep.deploy.comparison import Report
    from yolo_world_rep.deploy.export import Exported

# As in yolo_world_rep.deploy, which a parser cannot wait for.
FORMATS = ('onnx', 'openvino', 'torchscript')
DEFAULT_OPSET = 18
DEFAULT_COUNT = 128

INT8_ONLY = ('calibration', 'calibration_count', 'keep', 'quantize_all',
             'evaluate', 'max_ap_drop')


def batch_size(value: str) -> Optional[int]:
    """A number of images, or 'dynamic', for argparse."""
    if value == 'dynamic':
        return None
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(
            f'{value}: expected 1 or more, or dynamic')
    return int(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'model', help='checkpoint (.pth, .safetensors), or a config (.py)')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint, if MODEL is a config')
    add_words(parser)
    add_detections(parser, scores='that of the config')
    parser.add_argument('--format', choices=FORMATS, default='onnx')
    parser.add_argument(
        '--out', dest='out_dir', default='work_dirs/export', metavar='DIR')
    size = parser.add_mutually_exclusive_group()
    size.add_argument('--img-size', nargs=2, type=int, metavar=('H', 'W'),
                      help='height and width (default: those of the config)')
    size.add_argument('--dynamic', action='store_true',
                      help='accept any multiples of 32 as height and width')
    parser.add_argument(
        '--batch', type=batch_size, default=1, metavar='N|dynamic',
        help='images per batch, or "dynamic" (default: 1)')
    contract = parser.add_mutually_exclusive_group()
    contract.add_argument(
        '--with-nms', dest='contract', action='store_const', const='nms',
        help='output final detections: the file suppresses overlapping boxes')
    contract.add_argument(
        '--raw', dest='contract', action='store_const', const='raw',
        help='output logits and distances of each level')
    parser.add_argument(
        '--half', action='store_true', help='store the weights in FP16')
    parser.add_argument('--opset', type=int, default=DEFAULT_OPSET)
    parser.add_argument(
        '--texts', help='file of class names, if the checkpoint has none')
    parser.add_argument('--images', nargs='+', default=[],
                        help='images, folders or patterns to check the file '
                             'with (default: a few built-in ones)')
    parser.add_argument(
        '--image-count', type=positive, default=16, metavar='N',
        help='maximum number of --images to use (default: 16)')
    parser.add_argument('--precision', choices=['bf16', 'f16'],
                        help='also compare OpenVINO in this precision')
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite an existing file')
    add_cfg_options(parser)
    int8 = parser.add_argument_group('INT8')
    int8.add_argument(
        '--int8', action='store_true', help='quantize weights and features')
    int8.add_argument('--calibration', nargs='+', metavar='IMAGES',
                      help='calibration images, like those the model will see')
    int8.add_argument(
        '--calibration-count', type=positive, metavar='N',
        help=f'how many of them, at most (default: {DEFAULT_COUNT})')
    int8.add_argument(
        '--keep', nargs='+', metavar='PATTERN',
        help='regular expressions for more layers to keep in FP32')
    int8.add_argument('--quantize-all', action='store_true', default=None,
                      help='also quantize the layers kept in FP32 by default')
    int8.add_argument('--evaluate', nargs=2, metavar=('ANN', 'IMAGES'),
                      help='COCO file and image folder to measure the AP on')
    int8.add_argument('--max-ap-drop', type=float, metavar='POINTS',
                      help='refuse to lose more points of AP (default: 1.0)')


def int8_options(args: argparse.Namespace) -> dict:
    """What was given of the arguments for INT8."""
    given = {name: getattr(args, name) for name in INT8_ONLY
             if getattr(args, name) is not None}
    if given and not args.int8:
        name = next(iter(given)).replace('_', '-')
        raise ValueError(f'--{name} goes with --int8')
    if args.int8 and args.calibration is None:
        raise ValueError('--int8 needs --calibration IMAGES')
    if args.int8 and args.precision is not None:
        raise ValueError(f'--precision {args.precision} with --int8: what is '
                         f'quantized is not compared; leave one out')
    return given


def show(report: 'Report', names: Mapping[str, str]) -> None:
    """Print a comparison."""
    from rich.table import Table
    table = Table('what', title=f'{report.runtime} ({report.precision}) '
                  f'against PyTorch, {report.images} images')
    for name in ('largest difference', 'allowed'):
        table.add_column(name, justify='right')
    for entry in report.differences:
        table.add_row(entry.what, f'{entry.worst:.3g}', f'{entry.allowed:.3g}',
                      style=None if entry.ok else 'red')
    console().print(table)
    matching = report.matching
    edge = (f', {matching.at_edge} unpaired where rounding decides'
            if matching.at_edge else '')
    say(f'{matching.expected} detections above {report.threshold:g} in '
        f'PyTorch, {matching.found} in the file{edge}')
    say_notes(report.notes, names)


def print_exported(exported: 'Exported', names: Mapping[str, str]) -> None:
    """Print what was written and how it compares."""
    from yolo_world_rep.deploy.tensorrt import trtexec_line
    show(exported.reports[0], names)
    for report in exported.reports[1:]:
        show(report, names)
        say('This precision is shown, not judged.')
    spec = exported.spec
    size = 'any size' if spec.dynamic else 'x'.join(map(str, spec.image_size))
    files = ', '.join(f'{path} ({path.stat().st_size / 1e6:.1f} MB)'
                      for path in exported.files)
    batch = 'any number' if spec.batch is None else spec.batch
    say(f'wrote {files}: {spec.num_classes} classes, {size}, batch {batch}, '
        f'outputs {spec.contract!r}, weights {spec.precision}')
    if exported.path.suffix == '.onnx':
        say(f'TensorRT (not run here): {trtexec_line(exported.path, spec)}')


def run(args: argparse.Namespace) -> None:
    int8 = int8_options(args)
    from yolo_world_rep.deploy.calibration import choose_images
    from yolo_world_rep.deploy.export import export_model
    images = (choose_images(args.images, args.image_count)
              if args.images else [])
    options = dict(
        image_size=args.img_size, dynamic=args.dynamic, batch=args.batch,
        contract=args.contract or 'decoded', half=args.half, opset=args.opset,
        texts=args.texts, images=images, overwrite=args.overwrite,
        cfg_options=cfg_options(args.cfg_options), words=words_of(args),
        encoder=args.encoder, **detections_of(args))
    where = (*config_and_checkpoint(args), args.out_dir, args.format)
    if not args.int8:
        print_exported(
            export_model(*where, precision=args.precision, **options),
            args.names)
        return
    from yolo_world_rep.deploy.quantize import quantize_model
    quantized = quantize_model(*where, **{**options, **int8})
    say(as_options(quantized.report(), args.names), keep=LINES)
    say(f'wrote {quantized.path}')
