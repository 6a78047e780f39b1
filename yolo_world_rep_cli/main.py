"""The command ``yolo-world-rep``, and what the files in ``tools`` call."""
import argparse
import difflib
import importlib.util
import os
import sys
from typing import Dict, NoReturn, Optional, Sequence

# A worker that was spawned imports this first, as __mp_main__, and so has the
# stand-in for mmcv's operators before it gets a data set of mmyolo.
from yolo_world_rep.utils import cli
from yolo_world_rep.version import __version__

from .commands import COMMANDS, NAMES, Command
from .parsing import READ, NewFile, Parser, add_debug, existing_file, parse

PROG = 'yolo-world-rep'
DESCRIPTION = 'Fold class names into YOLO-World; train, export and run it.'


class _TopParser(Parser):
    """A parser whose help fits a screen."""

    def format_help(self) -> str:
        width = max(map(len, COMMANDS))
        lines = [f'  {command.name:{width}}  {command.summary}'
                 for command in COMMANDS.values()]
        return '\n'.join([
            f'usage: {PROG} COMMAND ...   ({PROG} COMMAND --help says more)',
            DESCRIPTION, '', *lines, '',
            '--debug shows the traceback of an error, --version the version'
        ]) + '\n'


def _names(parser: argparse.ArgumentParser) -> Dict[str, str]:
    """The arguments by what the library calls them.

    For --head-only, which sets neck_form to 'text', that is neck_form='text'.
    """
    names = {}
    for each in parser._actions:
        name = each.dest
        if each.nargs == 0 and isinstance(each.const, str):
            name += f'={each.const!r}'
        named = [each.metavar or each.dest.upper(), *each.option_strings]
        if each.help != argparse.SUPPRESS or name not in names:
            names[name] = str(named[-1])
    return names


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    """Give a parser the arguments of a command."""
    command.module.add_arguments(parser)
    for each in parser._actions:
        if each.dest in READ:
            each.type = existing_file
    parser.set_defaults(
        run=command.module.run, names=_names(parser),
        new_files=[each.dest for each in parser._actions
                   if isinstance(each.type, NewFile)])


def _description(command: Command) -> str:
    return (command.module.__doc__ or '').strip()


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _TopParser(prog=PROG, description=DESCRIPTION)
    add_debug(parser)
    parser.add_argument(
        '--version', action='version', version=f'yolo_world_rep {__version__}')
    commands = parser.add_subparsers(
        metavar='COMMAND', required=True, parser_class=Parser)
    for command in COMMANDS.values():
        each = commands.add_parser(
            command.name, aliases=command.aliases, help=command.summary,
            description=_description(command))
        # Where it is not given here it may have been given before.
        add_debug(each, default=argparse.SUPPRESS)
        _fill(each, command)
    return parser


def _check_name(words: Sequence[str]) -> Optional[str]:
    """What is wrong with the name of the command, if anything is."""
    if not words:
        return f'no command; {PROG} --help lists them'
    name = next((word for word in words if not word.startswith('-')), None)
    if name is None or name in NAMES:
        return None
    names = {**NAMES, **{command.tool: command.name
                         for command in COMMANDS.values() if command.tool}}
    stem = name[:-len('.py')] if name.endswith('.py') else name
    near = difflib.get_close_matches(stem, names, 1)
    hint = (f'did you mean {names[near[0]]!r}?'
            if near else f'{PROG} --help lists them')
    return f'no command {name!r}; {hint}'


def _execute(parser: argparse.ArgumentParser, words: Sequence[str],
             name: Sequence[str] = ()) -> NoReturn:
    """Run the command of these words; ``name`` are those before them."""
    args = parse(parser, words)
    args.line = [*name, *words]
    # albumentations looks for updates on the network when it is imported.
    os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')
    # Spawned workers import what this names, however the command was called.
    sys.modules['__main__'].__spec__ = importlib.util.find_spec(
        'yolo_world_rep_cli.main')
    cli.run(lambda: args.run(args), args.debug, args.names)


def main(words: Optional[Sequence[str]] = None) -> NoReturn:
    """The command line, of these words or of the process's."""
    words = sys.argv[1:] if words is None else words
    problem = _check_name(words)
    if problem:
        cli.fail(problem)
    _execute(make_parser(), words)


def run_tool(name: str) -> NoReturn:
    """A command as a program of its own, as the files in ``tools`` are."""
    command = COMMANDS[name]
    parser = Parser(description=_description(command))
    add_debug(parser)
    _fill(parser, command)
    _execute(parser, sys.argv[1:], [name])
