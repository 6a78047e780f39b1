"""Arguments: what the commands share, without what takes time to import.

The types refuse a file that cannot be read or written by an ``OSError``, with
which :func:`parse` ends the command.
"""
import argparse
import os
from typing import Any, List, NoReturn, Optional, Sequence, Tuple

from yolo_world_rep.utils.cli import as_options, fail, one_line
from yolo_world_rep.utils.files import require_new, require_room

#: The arguments that name what is read, in every command that has them.
READ = ('model', 'model_option', 'checkpoint', 'checkpoints', 'config',
        'before', 'after', 'annotations', 'text', 'texts', 'text_embed',
        'neck_text_embed', 'add', 'replace', 'words', 'resume')
SUFFIXES = ('.pth', '.pt', '.safetensors', '.onnx', '.xml', '.torchscript',
            '.py', '.npy', '.json', '.txt', '.yaml', '.yml')


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        fail(f'{" ".join(message.split())} ({self.prog} --help lists the '
             f'arguments)')


def parse(parser: argparse.ArgumentParser,
          words: Sequence[str]) -> argparse.Namespace:
    """The arguments; files are looked for before anything is imported."""
    try:
        args = parser.parse_args(words)
        for name in args.new_files if 'overwrite' in args else ():
            require_new(getattr(args, name), args.overwrite, f'--{name}')
    except (OSError, ValueError) as error:
        fail(as_options(one_line(error), dict(overwrite='--overwrite')))
    return args


def existing_file(text: str) -> str:
    """A file to read, as the type of an argument.

    What does not end as files do may be the name of a model or a class.
    """
    if '://' not in text and os.path.splitext(text)[1] in SUFFIXES and (
            not os.path.exists(text)):
        raise FileNotFoundError(f'{text}: no such file')
    return text


def existing(text: str) -> str:
    """A file or folder to read, as the type of an argument."""
    if not os.path.exists(text):
        raise FileNotFoundError(f'{text}: no such file or folder')
    return text


class NewFile:
    """A file to write, as the type of an argument; it ends in a suffix."""

    def __init__(self, *suffixes: str) -> None:
        self.suffixes = suffixes

    def __call__(self, text: str) -> str:
        if self.suffixes and not text.endswith(self.suffixes):
            raise OSError(f'{text}: expected a name that ends in '
                          f'{" or ".join(self.suffixes)}')
        require_room(text)
        return text


def add_debug(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """``--debug``, of the whole command line and of each command."""
    parser.add_argument('--debug', action='store_true',
                        help='show the traceback of an error', **settings)


def add_font(parser: argparse.ArgumentParser) -> None:
    """What class names in pictures are written in."""
    parser.add_argument(
        '--font', type=existing, metavar='FILE',
        help='font for class names in pictures, .ttf, .otf or .ttc (default: '
             'DejaVu Sans, else one of the system that has the letters)')


def positive(text: str) -> int:
    """A number that is 1 or more, as the type of an argument."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected 1 or more')
    return number


def join(word: str) -> Tuple[str, List[str]]:
    """``name,name=new``, as the type of an argument."""
    names, _, new = word.rpartition('=')
    if not names or not new:
        raise argparse.ArgumentTypeError(f'{word}: expected cat,dog=pet')
    return new, names.split(',')


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
        help='override settings of the config; write lists as key="[a,b]"')


def cfg_options(words: Optional[List[str]]) -> Optional[dict]:
    """The values of ``--cfg-options`` by dotted key, by mmengine's rules."""
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
    """Settings to override, and how processes are started."""
    add_cfg_options(parser)
    add_device(parser, default=None, several=True)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none', help='how the processes are started')
    parser.add_argument('--verbose', action='store_true',
                        help='print the whole log as well')
    add_trust(parser)
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_device(parser: argparse.ArgumentParser, default: Optional[str] = 'cpu',
               several: bool = False) -> None:
    """``--device``; of several, names with commas between."""

    def device(text: str) -> str:
        names = [f'cuda:{name}' if name.isdigit() else name
                 for name in text.split(',')]
        if len(names) > 1 and not several:
            raise argparse.ArgumentTypeError(
                f'{text}: expected one device; train and test take several')
        if 'cpu' in names and set(names) != {'cpu'}:
            raise argparse.ArgumentTypeError(f'{text}: CPU and GPU')
        return ','.join(names)

    parser.add_argument(
        '--device', type=device, default=default,
        help='cpu, cuda:1 (or 1)' +
        (', or 0,1 for one process on each' if several else '') +
        f' (default: {default or "a GPU if there is one"})')


def prepare_device(args: argparse.Namespace) -> None:
    """Put into the environment what torch and mmengine read when imported."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher != 'none':
        args.device = None  # each process has its own
    elif args.device and 'cpu' in args.device:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The one way to have code in a checkpoint run."""
    parser.add_argument(
        '--trust-checkpoint', dest='trust', action='store_true',
        help='read checkpoints with torch, which runs the code in them with '
             'your permissions; use this only for your own files')
