"""Check your own data and write the config that fine-tunes on them."""
import argparse
from typing import TYPE_CHECKING, Dict, Mapping, Sequence

from yolo_world_rep.utils.cli import as_options, console, say

if TYPE_CHECKING:
    from yolo_world_rep.config.new_config import NewConfig
    from yolo_world_rep.config.own_data import OwnData

# As in yolo_world_rep.engine, which a parser cannot wait for.
SPLITS = ('train', 'val')
RECIPES = ('full', 'neck-head', 'head')
PARTS = ('backbone', 'neck', 'guides', 'head', 'classes')

CLASSES_SHOWN = 30
COLOURS = dict(error='red', warning='yellow', note='dim')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group('data')
    data.add_argument(
        '--data', dest='root', required=True, help='folder of the data')
    for split in SPLITS:
        data.add_argument(
            f'--{split}-ann', required=True,
            help='COCO file; or a folder of YOLO or VOC labels, a YAML of '
            'Ultralytics, a list of images')
        data.add_argument(
            f'--{split}-img', help='folder of the images (default: looked '
            'for)')
    data.add_argument(
        '--classes', help='file with the class names, of YOLO or VOC labels')
    model = parser.add_argument_group('model')
    model.add_argument(
        '--checkpoint', required=True, help='folded checkpoint (.pth)')
    model.add_argument(
        '--size', help='s, m, l, x or xl (default: of the checkpoint)')
    training = parser.add_argument_group('training')
    training.add_argument('--recipe', choices=RECIPES, default='full',
                          help='what trains (default: full)')
    training.add_argument(
        '--lr-mult', nargs='+', default=[], metavar='PART=FACTOR',
        help=f'learning-rate multipliers of {", ".join(PARTS)}')
    training.add_argument('--gpus', type=int, default=1)
    training.add_argument('--batch', type=int, help='images on a GPU')
    training.add_argument('--epochs', type=int)
    training.add_argument('--lr', type=float, help='learning rate')
    training.add_argument(
        '--img-size', type=int, nargs='+', default=[640],
        metavar='PIXELS', help='width and height (default: 640)')
    training.add_argument(
        '--workers', type=int, help='processes that load images, for a GPU')
    training.add_argument('--no-report', action='store_true',
                          help='write no report after the training')
    parser.add_argument('--out', required=True, help='config to write (.py)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older config')


def multipliers(words: Sequence[str]) -> Dict[str, float]:
    """``PART=FACTOR`` read."""
    found = {}
    for word in words:
        part, _, factor = word.partition('=')
        try:
            found[part] = float(factor)
        except ValueError:
            raise ValueError(f'--lr-mult {word}: expected PART=FACTOR, such '
                             f'as backbone=0.1.') from None
    return found


def show_data(data: 'OwnData', names: Mapping[str, str]) -> None:
    """Print numbers and findings."""
    from rich.table import Table
    table = Table('', 'images', 'boxes', 'with masks', 'images in',
                  title=str(data.root))
    for split in SPLITS:
        each = getattr(data, split)
        table.add_row(split, str(len(each.images)), str(len(each.boxes)),
                      f'{each.share_with_masks:.0%}', str(each.images_dir))
    console().print(table)
    table = Table('label', 'class', *SPLITS, title='boxes of each class')
    val = data.val.boxes_of_class
    rows = list(enumerate(data.train.boxes_of_class.items()))
    for label, (name, boxes) in rows[:CLASSES_SHOWN]:
        table.add_row(str(label), name, str(boxes), str(val.get(name, '-')))
    if len(rows) > CLASSES_SHOWN:
        table.add_row('', f'and {len(rows) - CLASSES_SHOWN} more', '', '')
    console().print(table)
    for about, findings in data.findings.items():
        for finding in findings:
            text = as_options(finding.text, names)
            console().print(f'{finding.level}: {about}: {text}',
                            style=COLOURS[finding.level], soft_wrap=True)


def show_result(result: 'NewConfig') -> None:
    """Print what was chosen and what to run."""
    plan = result.schedule
    for line in (
            f'{plan.max_epochs} epochs, {plan.steps} steps of '
            f'{plan.total_batch} images, learning rate {plan.base_lr:g}, '
            f'the last {plan.close_mosaic_epochs} epochs without mosaic',
            f'evaluation every {plan.val_interval} epoch(s), then every '
            f'{plan.val_interval_stage2}',
            f'momentum of statistics {plan.bn_momentum:g}, of the averaged '
            f'weights {plan.ema_momentum:g}',
            f'wrote {result.path}', f'train: {result.command}'):
        say(line)


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.config.new_config import (
        Wishes,
        new_config,
        require_image_size,
    )
    from yolo_world_rep.config.own_data import read_own_data
    wishes = Wishes(
        size=args.size, recipe=args.recipe, lr_mults=multipliers(args.lr_mult),
        gpus=args.gpus, batch_size=args.batch, epochs=args.epochs, lr=args.lr,
        image_size=require_image_size(args.img_size), workers=args.workers,
        report=not args.no_report)
    data = read_own_data(args.root, args.train_ann, args.val_ann, args.out,
                         args.train_img, args.val_img, args.classes)
    show_data(data, args.names)
    show_result(
        new_config(data, args.checkpoint, args.out, wishes, args.overwrite))
