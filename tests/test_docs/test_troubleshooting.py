"""The messages on the page for users still stand in the source."""
import ast
import re
from functools import cache
from typing import Iterator, Optional, Tuple

import pytest
from docs_blocks import REPOSITORY

PAGE = REPOSITORY / 'docs' / 'troubleshooting.md'
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
    """All string expressions of a module."""
    for node in ast.walk(ast.parse(source)):
        text = text_of(node)
        if text is not None:
            yield re.sub(r'\s+', ' ', re.sub(f'{FIELD}+', FIELD, text))


def as_printed(message: str) -> str:
    """A message with options for its `parameters`, as commands print it."""
    return re.sub('`([a-z_]+)(?:=True)?`',
                  lambda found: f'--{found[1].replace("_", "-")}', message)


@cache
def messages() -> Tuple[str, ...]:
    return tuple(
        as_printed(text) for folder in ('yolo_world_rep', 'yolo_world_rep_cli')
        for path in sorted((REPOSITORY / folder).rglob('*.py'))
        for text in texts_in(path.read_text(encoding='utf-8')))


def quoted() -> Tuple[str, ...]:
    return tuple(
        re.findall('^### `(.+)`$', PAGE.read_text(encoding='utf-8'), re.M))


@pytest.mark.parametrize('fragment', quoted())
def test_message_stands_in_the_source(fragment):
    assert any(fragment in message for message in messages()), (
        f'{PAGE.name} explains {fragment!r}, which no message has any more')


def test_the_page_has_entries_once_and_with_advice():
    parts = re.split('^### ', PAGE.read_text(encoding='utf-8'), flags=re.M)
    assert len(parts) > 40
    assert len(set(quoted())) == len(parts) - 1
    for part in parts[1:]:
        advice = part.partition('\n')[2].partition('\n## ')[0]
        assert len(advice.strip()) > 20, part


def test_texts_of_adjacent_literals_and_fields_are_joined():
    source = "raise ValueError(f'a {x} b '\n    f'{y!r}c' + 'd')\n"
    assert 'a … b …cd' in set(texts_in(source))
    assert 'a b' not in ' '.join(texts_in(source))
