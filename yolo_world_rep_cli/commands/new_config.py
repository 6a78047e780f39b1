"""Check your own data and write a config to fine-tune on them."""
import argparse
from typing import TYPE_CHECKING, Any, Container, Dict, Mapping, Sequence

from yolo_world_rep.utils.cli import as_options, console, say

from ..models import add_detections
from ..parsing import NewFile, existing, join

if TYPE_CHECKING:
    from yolo_world_rep.config.data_layouts import DataLayout
    from yolo_world_rep.config.new_config import NewConfig, Wishes
    from yolo_world_rep.config.own_data import OwnData
    from yolo_world_rep.config.schedule import Schedule

# As in yolo_world_rep.engine, which a parser cannot wait for.
SPLITS = ('train', 'val')
RECIPES = ('full', 'neck-head', 'head')
EXIF = ('shown', 'stored')
PARTS = ('backbone', 'neck', 'guides', 'head', 'classes')
LOGGERS = ('tensorboard', 'wandb', 'mlflow')

CLASSES_SHOWN = 30
COLOURS = dict(error='red', warning='yellow', note='dim')


def add_data(parser: argparse.ArgumentParser, required: bool,
             only: bool = True) -> None:
    """What says which data are meant, for :func:`layout_of`.

    ``only`` adds that option, which a model may have as well.
    """
    data = parser.add_argument_group('data')
    data.add_argument(
        '--data', required=required, type=existing,
        help='folder of the data, COCO file, or YAML of Ultralytics')
    for split in SPLITS:
        data.add_argument(
            f'--{split}-ann', help='in --data: COCO file, folder of YOLO or '
                                   'VOC labels, YAML, or list of images '
                                   '(default: searched for)')
        data.add_argument(f'--{split}-img',
                          help='folder of the images (default: searched for)')
    data.add_argument('--val-fraction', type=float, metavar='SHARE',
                      help='share of the images to validate on, if there are '
                           'no validation data (default: 0.2)')
    data.add_argument(
        '--classes', help='file with the class names, for YOLO or VOC labels')
    data.add_argument(
        '--exif', choices=EXIF, help='how YOLO or VOC labels lie in images '
        'that EXIF data turn: as images are shown (default), or stored')
    data.add_argument('--join-classes', nargs='+', type=join,
                      metavar='NAME,NAME=NEW', help='join classes to one')
    data.add_argument('--drop-class', nargs='+', metavar='NAME',
                      help='leave out these classes')
    if only:
        data.add_argument('--only', nargs='+', metavar='NAME',
                          help='use only these classes, in this order')


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """How to train, for :func:`wishes_of`."""
    training = parser.add_argument_group('training')
    training.add_argument(
        '--size', help='s, m, l, x or xl (default: size of the checkpoint)')
    training.add_argument('--recipe', choices=RECIPES,
                          help='which parts are trained (default: full)')
    training.add_argument(
        '--lr-mult', nargs='+', metavar='PART=FACTOR',
        help=f'learning-rate multipliers of {", ".join(PARTS)}')
    training.add_argument('--gpus', type=int, help='GPUs (default: 1)')
    training.add_argument('--batch', dest='batch_size', metavar='IMAGES',
                          type=lambda text: text if text == 'auto' else int(
                              text), help='images per GPU, or auto: as many '
                                          'as its memory holds')
    training.add_argument('--epochs', type=int)
    training.add_argument('--lr', type=float, help='learning rate')
    training.add_argument('--img-size', type=int, nargs='+', metavar='PIXELS',
                          help='width and height of the input (default: 640)')
    training.add_argument(
        '--workers', type=int, help='processes per GPU that load images')
    add_detections(training)
    training.add_argument(
        '--freeze', nargs='+', choices=PARTS, metavar='PART',
        help='parts that are not trained, besides those of the recipe')
    training.add_argument(
        '--patience', type=int, metavar='N',
        help='stop after N evaluations without a better AP')
    training.add_argument(
        '--log', dest='loggers', nargs='+', choices=LOGGERS, metavar='NAME',
        help=f'write the curves for {", ".join(LOGGERS)} too')
    training.add_argument('--seed', type=int, help='of all random numbers')
    training.add_argument(
        '--no-report', dest='report', action='store_const', const=False,
        help='write no report after the training')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, required=True)
    parser.add_argument(
        '--checkpoint', required=True, help='folded checkpoint (.pth)')
    add_wishes(parser)
    parser.add_argument('--out', required=True, type=NewFile('.py'),
                        help='config to write (.py)')
    parser.add_argument('--overwrite', action='store_true',
                        help='overwrite an existing config')


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


def wishes_of(args: argparse.Namespace) -> 'Wishes':
    """Those of :func:`add_wishes`."""
    from yolo_world_rep.config.new_config import Wishes, require_image_size
    given = dict(
        size=args.size, recipe=args.recipe, gpus=args.gpus,
        lr_mults=args.lr_mult and multipliers(args.lr_mult), lr=args.lr,
        batch_size=args.batch_size, epochs=args.epochs, workers=args.workers,
        image_size=args.img_size and require_image_size(args.img_size),
        report=args.report, max_detections=args.max_detections,
        class_agnostic=args.class_agnostic, freeze=args.freeze,
        patience=args.patience, loggers=args.loggers, seed=args.seed)
    return Wishes(**{name: value for name, value in given.items()
                     if value is not None})


def choice_of(args: argparse.Namespace) -> Dict[str, Any]:
    """What is said about the categories."""
    return dict(only=args.only or (), drop_class=args.drop_class or (),
                join_classes=dict(args.join_classes or ()))


def layout_of(args: argparse.Namespace) -> 'DataLayout':
    """The data of :func:`add_data`."""
    from yolo_world_rep.config.data_layouts import find_data
    return find_data(
        args.data, args.val_fraction, train_ann=args.train_ann,
        val_ann=args.val_ann, train_img=args.train_img, val_img=args.val_img,
        classes=args.classes, exif=args.exif or EXIF[0], **choice_of(args))


def show_splits(data: 'OwnData') -> None:
    """Print a line for each split."""
    for split in SPLITS:
        each = getattr(data, split)
        say(f'data      {split}: {data.layout.origin(split)}, '
            f'{len(each.images)} images in {each.images_dir}, '
            f'{len(each.boxes)} boxes')


def show_data(data: 'OwnData') -> None:
    """Print numbers by split and class."""
    from rich.table import Table
    show_splits(data)
    table = Table('label', 'class', *SPLITS, title='boxes of each class')
    val = data.val.boxes_of_class
    rows = list(enumerate(data.train.boxes_of_class.items()))
    for label, (name, boxes) in rows[:CLASSES_SHOWN]:
        table.add_row(str(label), name, str(boxes), str(val.get(name, '-')))
    if len(rows) > CLASSES_SHOWN:
        table.add_row('', f'and {len(rows) - CLASSES_SHOWN} more', '', '')
    console().print(table)


def show_findings(data: 'OwnData', names: Mapping[str, str],
                  levels: Container[str] = COLOURS) -> None:
    """Print what was noticed."""
    for about, findings in data.findings.items():
        for finding in (each for each in findings if each.level in levels):
            text = as_options(finding.text, names)
            console().print(f'{finding.level}: {about}: {text}',
                            style=COLOURS[finding.level], soft_wrap=True)


def show_schedule(plan: 'Schedule') -> None:
    """Print how long and how fast the training is."""
    say(f'schedule  {plan.max_epochs} epochs, {plan.steps} steps of '
        f'{plan.total_batch} images, learning rate {plan.base_lr:g}, '
        f'the last {plan.close_mosaic_epochs} epochs without mosaic')


def show_result(result: 'NewConfig') -> None:
    """Print what was chosen and what to run."""
    plan = result.schedule
    show_schedule(plan)
    for line in (
            f'evaluation every {plan.val_interval} epoch(s), then every '
            f'{plan.val_interval_stage2}',
            f'momentum of statistics {plan.bn_momentum:g}, of the averaged '
            f'weights {plan.ema_momentum:g}',
            f'wrote {result.path}', f'train: {result.command}'):
        say(line)


def run(args: argparse.Namespace) -> None:
    from yolo_world_rep.config.new_config import new_config
    from yolo_world_rep.config.own_data import read_own_data
    from yolo_world_rep.reparam import load_checkpoint
    wishes = wishes_of(args)
    data = read_own_data(layout_of(args), args.out,
                         load_checkpoint(args.checkpoint).class_names)
    show_data(data)
    show_findings(data, args.names)
    show_result(
        new_config(data, args.checkpoint, args.out, wishes, args.overwrite))
