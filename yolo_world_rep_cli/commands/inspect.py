"""Say what a checkpoint is; nothing in it is executed."""
import argparse

from yolo_world_rep_cli.ending import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint."""
    parser.add_argument('checkpoint', help='the .pth file')
    parser.add_argument(
        '--json', action='store_true', help='print everything as JSON')


def run(args: argparse.Namespace) -> None:
    """Describe one checkpoint."""
    import json

    from yolo_world_rep.reparam.inspection import inspect_checkpoint
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
        print(f'{key.replace("_", " "):>20}  {printable(str(value))}')
