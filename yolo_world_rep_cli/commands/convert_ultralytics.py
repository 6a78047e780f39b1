"""Write an Ultralytics YOLO-World-v2 file as a checkpoint of this package."""
import argparse

from yolo_world_rep.utils.cli import say, say_notes

from ..parsing import NewFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--model', required=True, help='yolov8{s,m,l,x}-worldv2.pt')
    parser.add_argument('--out', required=True, type=NewFile('.pth'),
                        help='text-conditioned checkpoint to write (.pth)')
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite an existing file')


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics
    result = convert_ultralytics(args.model, args.out, args.overwrite)
    say_notes(result.notes, args.names)
    size = f'size {result.size}' if result.size else 'no public size'
    say(f'{result.num_tensors} tensors of YOLO-World-v2, {size}')
    say(f'wrote {result.path}')
