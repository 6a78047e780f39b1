"""Test a checkpoint with a config, or any model on --data."""
import argparse
from typing import Optional

from ..models import local
from ..parsing import (
    NewFile,
    add_run_arguments,
    cfg_options,
    prepare_device,
)
from . import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'config', metavar='CONFIG', help='config, or a model with --data')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    evaluate.add_split(parser)
    parser.add_argument('--work-dir', help='folder for logs')
    parser.add_argument('--out', type=NewFile('.pkl', '.pickle'),
                        help='write the detections to this .pkl')
    parser.add_argument('--json-prefix',
                        help='write the detections to PREFIX.bbox.json, '
                             'without evaluating them')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation: average '
                                           'over augmented images')
    parser.add_argument(
        '--show', action='store_true', help='show detections in a window')
    parser.add_argument(
        '--deploy', action='store_true',
        help='switch RepVGG blocks, if the model has any, to deploy mode')
    parser.add_argument(
        '--show-dir', help='subfolder of the log folder for drawn detections')
    parser.add_argument('--wait-time', type=float, default=2,
                        help='seconds per window')
    add_run_arguments(parser)


def run_on_data(args: argparse.Namespace) -> None:
    """Evaluate a model without a config, which all other options are about."""
    own, other, split = (argparse.ArgumentParser() for _ in range(3))
    evaluate.add_split(split)
    data = vars(split.parse_args([]))
    add_arguments(own)
    evaluate.add_arguments(other)
    given = [args.names[name] for name, value in vars(
        own.parse_args([args.config])).items() if getattr(args, name) != value
        and name not in (*data, 'device')]
    if given:
        raise ValueError(f'{given[0]} goes with a config, and --data with a '
                         f'model alone.')
    settings = other.parse_args([args.config])
    for name in (*data, 'names', *(['device'] if args.device else [])):
        setattr(settings, name, getattr(args, name))
    evaluate.run(settings)


def run(args: argparse.Namespace) -> Optional[int]:
    if args.data is not None:
        run_on_data(args)
        return None
    if args.checkpoint is None:
        raise ValueError(f'{args.config}: expected a config and its '
                         f'checkpoint, or a model and --data.')
    prepare_device(args)
    from mmengine.evaluator import DumpResults

    from yolo_world_rep.config.migration import config_from_file
    from yolo_world_rep.engine import launch, process_group
    from yolo_world_rep.engine.terminal import quiet
    checkpoint = local(args.checkpoint)  # before several processes are there
    devices = process_group.take_devices(args.device)
    if len(devices) > 1:
        return process_group.run_in_processes(devices, args.line)
    with quiet(args.verbose):
        cfg = launch.config_for_test(
            config_from_file(args.config), args.config,
            checkpoint, work_dir=args.work_dir, json_prefix=args.json_prefix,
            show=args.show, show_dir=args.show_dir, wait_time=args.wait_time,
            tta=args.tta, deploy=args.deploy,
            cfg_options=cfg_options(args.cfg_options), launcher=args.launcher,
            trust=args.trust)
        launch.check_files(cfg, ('test_dataloader', ))
        runner = launch.build_runner(cfg, args.trust)
        if args.out is not None:
            runner.test_evaluator.metrics.append(
                DumpResults(out_file_path=args.out))
        runner.test()
    return None
