"""What the commands share that run a config in one process or in many."""
import argparse
import os

from .parsing import add_cfg_options


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Settings to override, and how the processes were started."""
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started')
    add_trust(parser)
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The one way to have code in a checkpoint run."""
    parser.add_argument(
        '--trust-checkpoint',
        dest='trust',
        action='store_true',
        help='read checkpoints with torch, which runs the code in them: it '
        'can do whatever you can. Only for files of your own')


def set_local_rank(args: argparse.Namespace) -> None:
    """Put the local rank where mmengine looks for it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
