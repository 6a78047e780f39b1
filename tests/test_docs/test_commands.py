"""Every command and every piece of code of the documentation is run.

In a folder in which what they name exists, small: images of 64x64, S with
random weights. What is appended to a command line only makes it short.
"""
import re
from importlib.util import find_spec

import pytest
from docs_blocks import PAGES, SHELLS, TYPED, read_page, statements
from docs_commands import Reader, check_options, command_of
from docs_world import World

#: What is not run, and why. Files, options and names of these are checked.
NOT_RUN = (
    (r'make (demo|test|verify|mutations|lint|types|coverage|docs)\b',
     'builds an environment; the story has tests of its own'),
    (r'pip install', 'tests/test_installation.py installs'),
    (r'(other/bin/)?python benchmarks/', 'measures for minutes'),
    (r'tools/dist_(train|test)\.sh',
     'eight processes; tests/test_engine/test_processes.py has two'),
    (r'.* … ', 'left to the reader to complete'),
    (r'yolo-world-rep (download|\w+ yolo-world-v)',
     'asks the hub; tests/test_utils/test_public_models.py has one'),
)
#: What runs with the slow tests alone.
SLOW = (r'.* --img-size 640 640', r'python tools/train.py my.py')
if find_spec('lvis') is None:
    NOT_RUN += (r'.*_lvis_minival\.py', 'lvis is not installed'),


def why_not_run(text):
    """The reason not to run a statement, if there is one."""
    return next(
        (reason
         for pattern, reason in NOT_RUN if re.match(pattern, text)), None)


def commands(page):
    """The statements of a page's blocks."""
    return [
        each for block in read_page(page)[0] if block.language in SHELLS
        for each in statements(block)
    ]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def is_slow(text):
    return any(re.match(pattern, text) for pattern in SLOW)


@pytest.fixture
def read(world, tmp_path, monkeypatch):
    """Type what a page says."""

    def read(page, slow):
        reader = Reader(world, tmp_path / 'reader', monkeypatch)
        for block in read_page(page)[0]:
            if block.language in SHELLS:
                for each in statements(block):
                    reader.type(
                        each,
                        run=not why_not_run(each.text)
                        and (slow or not is_slow(each.text)))
            elif block.language == 'python':
                reader.execute(block)

    return read


@pytest.mark.parametrize('page', PAGES)
def test_page(page, read):
    read(page, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize('page', [
    page for page in PAGES if any(
        is_slow(each.text) for each in commands(page))
])
def test_page_with_its_slow_commands(page, read):
    read(page, slow=True)


def test_what_is_not_run_still_stands_there():
    everything = [each.text for page in PAGES for each in commands(page)]
    for pattern in (*(pattern for pattern, _ in NOT_RUN), *SLOW):
        assert any(re.match(pattern, text) for text in everything), (
            f'{pattern!r} is in no page any more')


@pytest.mark.parametrize('page', PAGES)
def test_commands_within_a_sentence(page):
    for text in read_page(page)[1]:
        if not TYPED.match(text) or ' ' not in text:
            continue
        words = text.replace('[', ' ').replace(']', ' ').split()
        if command_of(words):
            check_options(words, words)
