"""Messages of the library name parameters; commands say them as options."""
import re
from functools import cache
from typing import Tuple

import pytest
from docs_blocks import REPOSITORY
from source_texts import messages_in, names_of_commands

from yolo_world_rep.utils.cli import as_options
from yolo_world_rep_cli.commands import COMMANDS

LIBRARY = REPOSITORY / 'yolo_world_rep'
# A command to run, to the end of its clause.
COMMAND = re.compile(
    r'\b(yolo-world-rep|trtexec|pip|hf) .*?(?=[;,:)]|\. |\.?$)')
OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]*')
PARAMETER = re.compile(r'`(\w+)[^`]*`')


@cache
def messages() -> Tuple[Tuple[str, str], ...]:
    return tuple(
        (path.relative_to(LIBRARY).as_posix(), message)
        for path in sorted(LIBRARY.rglob('*.py'))
        for message in messages_in(path.read_text(encoding='utf-8')))


def test_no_option_stands_without_its_command():
    bare = {(path, option) for path, message in messages()
            for option in OPTION.findall(COMMAND.sub('', message))}
    assert not bare


@pytest.mark.parametrize('name', COMMANDS)
def test_each_parameter_becomes_an_option(name):
    names = names_of_commands()[name]
    known = {each.partition('=')[0] for each in names}
    for path, message in messages():
        # What a field puts there is a value, as in `format='onnx'`.
        said = as_options(message.replace('=…`', "='some'`"), names)
        left = known.intersection(PARAMETER.findall(said))
        assert not left, f'{path}: {message}'


def test_what_is_looked_for_is_found():
    source = '\n'.join([
        '"""Not --this."""', 'LABELS = ["--nor", "that"]',
        'raise ValueError(f"--bad {x}; do `yolo-world-rep edit {x} --ok`, " +',
        "                 'pip install --too' if x else 'or not: --worse.')"])
    found = [OPTION.findall(COMMAND.sub('', message))
             for message in messages_in(source)]
    assert sorted(sum(found, [])) == ['--bad', '--worse']
