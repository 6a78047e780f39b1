"""Download a public checkpoint by its name, and print its path."""
import argparse

from yolo_world_rep.utils.cli import console, say

COLUMNS = ('name', 'family', 'size', 'image', 'texts', 'runs')
RUNS = dict(yes='yes', config='with config', no='not yet')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('name', nargs='?', help='name of the model, such as '
                                              'yolo-world-v2-s')
    what.add_argument('--list', action='store_true', help='list the names')


def show() -> None:
    """Print the table of public models."""
    from rich.table import Table

    from yolo_world_rep.utils.public_models import public_models
    models = public_models().values()
    for place in dict.fromkeys(model[-3:-1] for model in models):
        table = Table(*COLUMNS, title='{1} (licence: {0})'.format(*place))
        for *columns, runs, licence, repository, _ in models:
            if (licence, repository) == place:
                table.add_row(*columns, RUNS[runs])
        console().print(table)
    say('image: side of the input in pixels. texts: their width, 512 of CLIP '
        'ViT-B/32, 768 of CLIP ViT-L/14 at 336 pixels.')


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.utils.public_models import fetch
    if args.list:
        show()
    else:
        say(str(fetch(args.name)))
