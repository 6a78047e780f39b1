"""Train a detector: from a checkpoint and data, or from a config."""
import argparse
from typing import TYPE_CHECKING, List, Optional

from yolo_world_rep.utils.cli import say
from yolo_world_rep.utils.wording import command

from ..models import add_words, local, words_of
from ..parsing import add_run_arguments, cfg_options, prepare_device
from . import new_config

if TYPE_CHECKING:
    from yolo_world_rep.config.new_config import NewConfig
    from yolo_world_rep.engine.finetune import Finetuned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'model', metavar='MODEL',
        help='checkpoint to start from, with --data; or a config (.py)')
    new_config.add_data(parser, required=False)
    new_config.add_wishes(parser)
    add_words(parser)
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
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CKPT',
                        help='continue from a checkpoint, or from the last '
                             'one in the work dir')
    add_run_arguments(parser)


def require_config_alone(args: argparse.Namespace) -> None:
    """Refuse options that a config sets itself."""
    with_data = argparse.ArgumentParser(add_help=False)
    new_config.add_data(with_data, required=False)
    new_config.add_wishes(with_data)
    add_words(with_data)
    given = [args.names[each.dest] for each in with_data._actions
             if getattr(args, each.dest) is not None]
    if given:
        raise ValueError(
            f'{args.model} is a config, and {given[0]} goes with a '
            f'checkpoint. Set it in the config, or by --cfg-options.')


def prepared(args: argparse.Namespace) -> 'NewConfig':
    """The config for a checkpoint and data."""
    from yolo_world_rep.engine.finetune import prepare
    made = prepare(
        local(args.model), new_config.layout_of(args), args.work_dir,
        wishes=new_config.wishes_of(args), words=words_of(args),
        encoder=args.encoder, overwrite=args.overwrite or bool(args.resume))
    new_config.show_splits(made.data)
    new_config.show_findings(made.data, args.names, ('warning', ))
    new_config.show_schedule(made.schedule)
    say(f'start: {made.model.path}')
    say(f'config: {made.path}')
    return made


def show_end(tuned: 'Finetuned') -> None:
    """Print what to do with what is there now."""
    path = tuned.checkpoint
    say('export: ' + command('export', path, '--format', 'onnx', '--out',
                             path.parent / 'export'))


def words_of_run(args: argparse.Namespace, config: str,
                 work_dir: str) -> List[str]:
    """The command that trains by the config that was written."""
    words = ['train', config, '--work-dir', work_dir]
    words += [args.names[name] for name in (
        'amp', 'skip_unreadable', 'trust', 'verbose') if getattr(args, name)]
    if args.resume:
        words += ['--resume', *[args.resume][args.resume == 'auto':]]
    if args.cfg_options:
        words += ['--cfg-options', *args.cfg_options]
    return words


def how_to_resume(args: argparse.Namespace, work_dir: str) -> str:
    """The command to continue an interrupted training."""
    from yolo_world_rep.engine.checkpoints import checkpoint_to_resume
    if args.launcher != 'none':
        return ''
    words = [word for word in args.line if not word.startswith('--resume')
             and word != args.resume]
    if checkpoint_to_resume(work_dir):
        words.append('--resume')
    return f'; go on with: {command(*words)}'


def run(args: argparse.Namespace) -> Optional[int]:
    prepare_device(args)
    from yolo_world_rep.config.migration import config_from_file
    from yolo_world_rep.engine import launch, process_group
    from yolo_world_rep.engine.finetune import result_of
    from yolo_world_rep.engine.terminal import quiet
    devices, words = process_group.take_devices(args.device), args.line
    if args.model.endswith('.py'):
        require_config_alone(args)
        config, work_dir = args.model, args.work_dir
    elif args.data is None:
        raise ValueError(f'{args.model} is no config (.py): say by --data '
                         f'what to train it on.')
    else:
        args.gpus = args.gpus or len(devices) or None
        config = prepared(args).path
        work_dir = str(config.parents[1])
        words = words_of_run(args, str(config), work_dir)
    with quiet(args.verbose):
        cfg = launch.config_for_training(
            config_from_file(str(config)), str(config), work_dir=work_dir,
            amp=args.amp, resume=args.resume,
            cfg_options=cfg_options(args.cfg_options), launcher=args.launcher,
            skip_unreadable=args.skip_unreadable, trust=args.trust)
        launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
        try:
            if len(devices) > 1:
                return process_group.run_in_processes(devices, words)
            runner = launch.build_runner(cfg, args.trust)
            launch.train(runner)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                how_to_resume(args, cfg.work_dir)) from None
    if args.data:
        show_end(result_of(runner, config))
    return None
