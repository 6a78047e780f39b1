"""Write an Ultralytics YOLO-World-v2 file as a checkpoint of this package."""
import argparse

from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics
from yolo_world_rep.utils import cli


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model', required=True, help='yolov8{s,m,l,x}-worldv2.pt')
    parser.add_argument(
        '--out',
        required=True,
        help='the text-conditioned checkpoint to write (.pth)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older result')
    return parser.parse_args()


def main() -> None:
    """Convert one file."""
    args = parse_args()
    result = convert_ultralytics(args.model, args.out, args.overwrite)
    for note in result.notes:
        print(f'note: {note}')
    size = f'size {result.size}' if result.size else 'no public size'
    print(f'{result.num_tensors} tensors of YOLO-World-v2, {size}')
    print(f'wrote {result.path}')


if __name__ == '__main__':
    cli.run(main)
