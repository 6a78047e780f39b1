"""The configuration reference is that of the code."""
import importlib.util
import re

import pytest
from docs_blocks import REPOSITORY


def load(name):
    spec = importlib.util.spec_from_file_location(
        f'docs_{name}', REPOSITORY / 'docs' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def writer():
    return load('config_reference')


def test_page_is_what_the_code_says(writer):
    page = writer.PAGE.read_text(encoding='utf-8')
    assert writer.replaced(page) == page, (
        'run: python docs/config_reference.py')


def test_each_class_and_argument_is_there(writer):
    text = writer.reference()
    for _, name, obj in writer.registered():
        assert f'\n#### {name}\n' in text
        for row in writer.arguments(obj)[0]:
            assert row[3], f'{name}: {row[0]} is not in the docstring'
    assert len(list(writer.registered())) > 40


def test_arguments_of_own_parents_are_listed_and_foreign_ones_named(writer):
    from yolo_world_rep.models.necks import RepYOLOWorldDualPAFPN
    rows, rest = writer.arguments(RepYOLOWorldDualPAFPN)
    names = [row[0] for row in rows]
    assert {'`text_channels`', '`text_enhancder`', '`in_channels`'} <= set(
        names)
    assert len(names) == len(set(names))
    assert rest == ''


def test_links_of_docs_to_headings_of_the_reference(writer):
    headings = set(
        re.findall('^#+ (.+)$', writer.PAGE.read_text(encoding='utf-8'),
                   re.M))
    slugs = {re.sub(r'\s+', '-', text.lower()) for text in headings}
    for page in sorted((REPOSITORY / 'docs').glob('*.md')):
        for slug in re.findall(r'\(configs\.md#([\w-]+)\)',
                               page.read_text(encoding='utf-8')):
            assert slug in slugs, f'{page.name}: configs.md#{slug}'
