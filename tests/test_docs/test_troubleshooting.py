"""The messages on the page for users still stand in the source."""
import re
from functools import cache
from typing import Tuple

import pytest
from docs_blocks import REPOSITORY
from source_texts import names_of_commands, texts_in

from yolo_world_rep.utils.cli import as_options

PAGE = REPOSITORY / 'docs' / 'troubleshooting.md'


@cache
def messages() -> Tuple[str, ...]:
    """As each command prints them."""
    texts = [text for folder in ('yolo_world_rep', 'yolo_world_rep_cli')
             for path in sorted((REPOSITORY / folder).rglob('*.py'))
             for text in texts_in(path.read_text(encoding='utf-8'))]
    commands = names_of_commands().values()
    return tuple({as_options(text, names) for text in texts
                  for names in commands})


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
