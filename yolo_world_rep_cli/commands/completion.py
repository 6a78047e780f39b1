"""Print the shell completion of this command.

bash: eval "$(yolo-world-rep completion bash)" in ~/.bashrc;
zsh: yolo-world-rep completion zsh > FOLDER_OF_FPATH/_yolo-world-rep
"""
import argparse

from yolo_world_rep.utils.cli import LINES, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('shell', choices=['bash', 'zsh'])


def run(args: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError as error:
        raise ImportError(
            'completion needs shtab, which is not installed: pip install '
            '"yolo-world-rep[completion]"') from error
    from ..main import make_parser
    from ..parsing import NewFile, existing, existing_file
    parser = make_parser()
    commands, = (action for action in parser._actions
                 if isinstance(action, argparse._SubParsersAction))
    for each in commands.choices.values():
        for action in each._actions:
            # Most words here are paths.
            if action.nargs != 0 and action.choices is None and (
                    action.type in (None, existing_file, existing)
                    or isinstance(action.type, NewFile)):
                action.complete = shtab.FILE  # which shtab looks for
    say(shtab.complete(parser, args.shell), keep=LINES)
