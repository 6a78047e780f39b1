"""Say what a checkpoint is; nothing in it is executed."""
import argparse
import json

from yolo_world_rep.reparam.inspection import inspect_checkpoint
from yolo_world_rep.utils import cli


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='the .pth file')
    parser.add_argument(
        '--json', action='store_true', help='print everything as JSON')
    return parser.parse_args()


def main() -> None:
    """Describe one checkpoint."""
    args = parse_args()
    found = inspect_checkpoint(args.checkpoint)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for key, value in found.items():
        if value is None or value == []:
            continue
        if key == 'class_names':
            value = ', '.join(value)
        elif isinstance(value, (dict, list)):
            value = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, bool):
            value = 'yes' if value else 'no'
        print(f'{key.replace("_", " "):>20}  {value}')


if __name__ == '__main__':
    cli.run(main)
