"""Write an Ultralytics YOLO-World-v2 file as a checkpoint of this package."""
import argparse

from ..ending import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and the one to write."""
    parser.add_argument(
        '--model', required=True, help='yolov8{s,m,l,x}-worldv2.pt')
    parser.add_argument(
        '--out',
        required=True,
        help='the text-conditioned checkpoint to write (.pth)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older result')


def run(args: argparse.Namespace) -> None:
    """Convert one file."""
    from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics
    result = convert_ultralytics(args.model, args.out, args.overwrite)
    for note in result.notes:
        say(f'note: {note}')
    size = f'size {result.size}' if result.size else 'no public size'
    say(f'{result.num_tensors} tensors of YOLO-World-v2, {size}')
    say(f'wrote {result.path}')
