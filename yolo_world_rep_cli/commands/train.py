"""Train a detector from a config file."""
import argparse

from ..parsing import add_run_arguments, cfg_options, set_local_rank


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--amp', action='store_true',
        help='train in mixed precision; without a GPU that is bfloat16')
    parser.add_argument(
        '--skip-unreadable', action='store_true',
        help='leave out images that cannot be read, with a warning')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CKPT',
        help='go on from a checkpoint, or from the last one in the work-dir')
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> None:
    set_local_rank(args)
    from yolo_world_rep.config.migration import config_from_file
    from yolo_world_rep.engine import launch
    cfg = launch.config_for_training(
        config_from_file(args.config), args.config, work_dir=args.work_dir,
        amp=args.amp, resume=args.resume,
        cfg_options=cfg_options(args.cfg_options), launcher=args.launcher,
        skip_unreadable=args.skip_unreadable, trust=args.trust)
    launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
    launch.train(launch.build_runner(cfg, args.trust))
