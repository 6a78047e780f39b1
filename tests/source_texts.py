"""The strings of the source, as its messages read and as commands say them."""
import argparse
import ast
import re
from typing import Dict, Iterator, Mapping, Optional

from yolo_world_rep_cli.main import make_parser

FIELD = '…'


def text_of(node: ast.AST) -> Optional[str]:
    """A string expression as one text, fields as '…'."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return ''.join(FIELD if isinstance(part, ast.FormattedValue) else
                       part.value for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [text_of(side) for side in (node.left, node.right)]
        if sides != [None, None]:
            return ''.join(FIELD if side is None else side for side in sides)
    return None


def texts_in(source: str) -> Iterator[str]:
    """All string expressions of a module, docstrings and parts included."""
    for node in ast.walk(ast.parse(source)):
        text = text_of(node)
        if text is not None:
            yield re.sub(r'\s+', ' ', re.sub(f'{FIELD}+', FIELD, text))


def messages_in(source: str) -> Iterator[str]:
    """The string expressions of several words, but for docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        # What is a part of a longer text or an expression of its own.
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.Expr):
                part.value.is_part = True
            elif isinstance(node, (ast.JoinedStr, ast.BinOp)) and (
                    text_of(node) is not None):
                part.is_part = True
    for node in ast.walk(tree):
        text = None if hasattr(node, 'is_part') else text_of(node)
        if text is not None and len(text.split()) > 1:
            yield re.sub(r'\s+', ' ', re.sub(f'{FIELD}+', FIELD, text))


def names_of_commands() -> Dict[str, Mapping[str, str]]:
    """The options of each command, by what the library calls them."""
    commands, = (action.choices for action in make_parser()._actions
                 if isinstance(action, argparse._SubParsersAction))
    return {name: parser.get_default('names')
            for name, parser in commands.items()}
