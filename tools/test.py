#!/usr/bin/env python
"""Test a checkpoint with a config file."""
import argparse
import os

# albumentations looks for updates on the network when it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from mmengine.config import Config  # noqa: E402
from mmengine.evaluator import DumpResults  # noqa: E402

from yolo_world_rep.engine import launch  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of logs')
    parser.add_argument('--out', help='write the detections to this .pkl')
    parser.add_argument(
        '--json-prefix',
        help='write the detections to PREFIX.bbox.json, evaluate nothing')
    parser.add_argument(
        '--tta', action='store_true', help='average over augmentations')
    parser.add_argument(
        '--show', action='store_true', help='show detections in a window')
    parser.add_argument(
        '--deploy',
        action='store_true',
        help='switch RepVGG blocks, where a model has some, to deployment')
    parser.add_argument(
        '--show-dir', help='folder, in the log folder, to draw detections in')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds a window stays')
    return launch.parse_run_args(parser)


def main() -> None:
    args = parse_args()
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out {args.out}: expected a name that ends in '
                         f'.pkl or .pickle')
    cfg = launch.config_for_test(
        Config.fromfile(args.config),
        args.config,
        args.checkpoint,
        work_dir=args.work_dir,
        json_prefix=args.json_prefix,
        show=args.show,
        show_dir=args.show_dir,
        wait_time=args.wait_time,
        tta=args.tta,
        deploy=args.deploy,
        cfg_options=args.cfg_options,
        launcher=args.launcher)
    launch.check_files(cfg, ('test_dataloader', ))
    runner = launch.build_runner(cfg)
    if args.out is not None:
        runner.test_evaluator.metrics.append(
            DumpResults(out_file_path=args.out))
    runner.test()


if __name__ == '__main__':
    cli.run(main)
