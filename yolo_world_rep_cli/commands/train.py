"""Train a detector: from a checkpoint and data, or from a config."""
import argparse
import os
from typing import List, Optional

from yolo_world_rep.utils.cli import console, say
from yolo_world_rep.utils.wording import command

from ..models import add_words, local, words_of
from ..parsing import add_run_arguments, cfg_options, positive, prepare_device
from . import new_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'model', metavar='MODEL',
        help='checkpoint to start from, with --data; or a config (.py)')
    before = len(parser._actions)
    new_config.add_data(parser, required=False)
    new_config.add_wishes(parser)
    add_words(parser)
    parser.add_argument(
        '--folds', type=positive, metavar='K',
        help='train K times, each validated on another part of the training '
             'images, and print the mean')
    parser.set_defaults(
        of_data=[action.dest for action in parser._actions[before:]])
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints (default: '
                           'work_dirs/NAME, named after the data or the '
                           'config)')
    parser.add_argument('--overwrite', action='store_true',
                        help='overwrite the files that an earlier run with '
                             '--data started from')
    parser.add_argument(
        '--amp', action='store_true',
        help='train in mixed precision (bfloat16 without a GPU)')
    parser.add_argument(
        '--skip-unreadable', action='store_true',
        help='leave out images that cannot be read, with a warning')
    parser.add_argument(
        '--cache', type=positive, nargs='?', const=256, metavar='MIB',
        help='keep this many MiB of decoded images in each worker (256), and '
             'draw mosaics from them')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CKPT',
                        help='continue from a checkpoint, or from the last '
                             'one in the work dir')
    add_run_arguments(parser)


def require_config_alone(args: argparse.Namespace) -> None:
    """Refuse what a config says itself."""
    given = [args.names[name] for name in args.of_data
             if getattr(args, name) is not None]
    if given:
        raise ValueError(
            f'{args.model} is a config, and {given[0]} goes with a '
            f'checkpoint. Set it in the config, or by --cfg-options.')


def prepared(args: argparse.Namespace) -> str:
    """The config for a checkpoint and data, of which it prints the gist."""
    from yolo_world_rep.engine.finetune import prepare
    made = prepare(
        local(args.model), new_config.layout_of(args), args.work_dir,
        wishes=new_config.wishes_of(args), words=words_of(args),
        encoder=args.encoder, overwrite=args.overwrite or bool(args.resume))
    new_config.show_splits(made.data)
    new_config.show_findings(made.data, args.names, ('warning', ))
    new_config.show_schedule(made.schedule)
    say(f'config    {made.path}')
    return str(made.path)


def run_folds(args: argparse.Namespace) -> None:
    """The trainings of ``--folds``, and a table of their scores."""
    from statistics import fmean, stdev

    from rich.table import Table

    from yolo_world_rep.engine.folds import cross_validate
    layout = new_config.layout_of(args)
    say(f'folds     {args.folds} of {layout.origin("train")}; other data are '
        f'left aside')
    scores = cross_validate(
        local(args.model), layout, args.folds, args.work_dir,
        resume=bool(args.resume), overwrite=args.overwrite,
        begin=lambda folder: say(f'fold      {folder}'),
        wishes=new_config.wishes_of(args), words=words_of(args),
        encoder=args.encoder, amp=args.amp, trust=args.trust,
        skip_unreadable=args.skip_unreadable, cache=args.cache or 0,
        cfg_options=cfg_options(args.cfg_options))
    table = Table('', *(f'fold {n + 1}' for n in range(args.folds)),
                  'mean', 'spread', title='validation of each fold')
    for name in scores[0]:
        values = [each[name] for each in scores]
        table.add_row(name, *(f'{value:.3f}' for value in (
            *values, fmean(values), stdev(values))))
    console().print(table)


def words_of_run(args: argparse.Namespace, config: str,
                 work_dir: str) -> List[str]:
    """The command that trains by the config that was written."""
    words = ['train', config, '--work-dir', work_dir]
    words += [args.names[name] for name in (
        'amp', 'skip_unreadable', 'trust', 'verbose') if getattr(args, name)]
    if args.cache:
        words += ['--cache', str(args.cache)]
    if args.resume:
        words += ['--resume', *[args.resume][args.resume == 'auto':]]
    if args.cfg_options:
        words += ['--cfg-options', *args.cfg_options]
    return words


def words_to_begin(args: argparse.Namespace) -> List[str]:
    """The words of the command without ``--resume``."""
    return [word for word in args.line if not word.startswith('--resume')
            and word != args.resume]


def how_to_resume(args: argparse.Namespace, work_dir: str) -> str:
    """The command to continue an interrupted training."""
    from yolo_world_rep.engine.checkpoints import checkpoint_to_resume
    if args.launcher != 'none':
        return ''
    words = words_to_begin(args)
    if checkpoint_to_resume(work_dir):
        words.append('--resume')
    return f'; go on with: {command(*words)}'


def how_to_start_again(args: argparse.Namespace, work_dir: str,
                       lr: float) -> str:
    """The command for a training that diverged, in a folder of its own."""
    rate = ['--lr', f'{lr:g}'] if args.data else [
        '--cfg-options', f'optim_wrapper.optimizer.lr={lr:g}']
    return command(*words_to_begin(args), '--work-dir',
                   f'{work_dir}_lr{lr:g}', *rate)


def run(args: argparse.Namespace) -> Optional[int]:
    prepare_device(args)
    from yolo_world_rep.engine import finetune, process_group
    from yolo_world_rep.engine.hooks import DivergedError
    from yolo_world_rep.engine.terminal import quiet
    devices, words = process_group.take_devices(args.device), args.line
    config, work_dir = args.model, args.work_dir
    if config.endswith('.py'):
        require_config_alone(args)
    elif args.data is None:
        raise ValueError(f'{config} is no config (.py): say by --data what '
                         f'to train it on.')
    elif args.folds:
        if len(devices) > 1 or args.launcher != 'none' or (
                args.resume not in (None, 'auto')):
            raise ValueError('--folds goes with one --device, without '
                             '--launcher, and with --resume alone.')
        run_folds(args)
        return None
    else:
        args.gpus = args.gpus or len(devices) or None
        config = prepared(args)
        work_dir = os.path.dirname(os.path.dirname(config))
        words = words_of_run(args, config, work_dir)
    with quiet(args.verbose):
        cfg = finetune.config_to_train(
            config, work_dir, amp=args.amp, resume=args.resume,
            cfg_options=cfg_options(args.cfg_options), launcher=args.launcher,
            skip_unreadable=args.skip_unreadable, trust=args.trust,
            cache=args.cache or 0)
        try:
            if len(devices) > 1:
                return process_group.run_in_processes(devices, words)
            finetune.train(cfg, config, args.trust)
        except DivergedError as error:
            again = how_to_start_again(args, cfg.work_dir, error.lr)
            raise ValueError(f'{error}: {again}') from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                how_to_resume(args, cfg.work_dir)) from None
    return None
