"""Show what a checkpoint or an exported file contains; nothing is executed."""
import argparse

from yolo_world_rep.utils.cli import LINES, say

from ..models import local

NAMES_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'checkpoint', help='checkpoint, exported file or name of a public one')
    parser.add_argument(
        '--json', action='store_true', help='print everything as JSON')


def run(args: argparse.Namespace) -> None:
    import json
    path = local(args.checkpoint)
    if path.endswith(('.onnx', '.xml', '.torchscript')):
        from yolo_world_rep import YOLOWorld
        found = YOLOWorld(path).info()
    else:
        from yolo_world_rep.reparam.inspection import inspect_checkpoint
        found = inspect_checkpoint(path)
    if args.json:
        say(json.dumps(found, indent=2, ensure_ascii=False), keep=LINES)
        return
    for key, value in found.items():
        if value in (None, [], {}):
            continue
        if isinstance(value, (list, tuple)) and key in (
                'class_names', 'classes'):
            more = len(value) - NAMES_SHOWN
            value = ', '.join(value[:NAMES_SHOWN]) + (
                f' and {more} more (--json lists them)' if more > 0 else '')
        elif isinstance(value, (dict, list, tuple)):
            value = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, bool):
            value = 'yes' if value else 'no'
        say(f'{key.replace("_", " "):>20}  {value}')
