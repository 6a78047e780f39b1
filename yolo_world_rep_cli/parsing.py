"""Arguments: what the commands share, without what takes time to import."""
import argparse
import os
import sys
from typing import Any, List, NoReturn, Optional

from yolo_world_rep.utils.cli import say


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        say(f'error: {" ".join(message.split())} ({self.prog} --help lists '
            f'the arguments)', sys.stderr)
        sys.exit(2)


def add_debug(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """``--debug``, of the whole command line and of each command."""
    parser.add_argument('--debug', action='store_true',
                        help='show the traceback of an error', **settings)


def positive(text: str) -> int:
    """A number that is 1 or more, as the type of an argument."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected 1 or more')
    return number


def _setting(word: str) -> str:
    """``key=value``, as the type of an argument."""
    if not word.partition('=')[1]:
        raise argparse.ArgumentTypeError(f'{word}: expected key=value')
    return word


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """``--cfg-options``; :func:`cfg_options` reads what was given."""
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', type=_setting,
        metavar='KEY=VALUE',
        help='settings of the config to override; lists as key="[a,b]"')


def cfg_options(words: Optional[List[str]]) -> Optional[dict]:
    """What ``--cfg-options`` gave, by dotted key, by mmengine's own rules."""
    if words is None:
        return None
    from mmengine.config import DictAction
    read = argparse.Namespace()
    action = DictAction(['--cfg-options'], 'settings', nargs='+')
    try:
        action(argparse.ArgumentParser(), read, words)
    except AssertionError as error:
        raise ValueError(f'--cfg-options: {error}') from error
    return read.settings


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Settings to override, and how the processes were started."""
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none', help='how the processes were started')
    add_trust(parser)
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The one way to have code in a checkpoint run."""
    parser.add_argument(
        '--trust-checkpoint', dest='trust', action='store_true',
        help='read checkpoints with torch, which runs the code in them: it '
        'can do whatever you can. Only for files of your own')


def set_local_rank(args: argparse.Namespace) -> None:
    """Put the local rank where mmengine looks for it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
