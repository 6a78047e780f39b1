"""What the sources import is declared, and text is read as UTF-8."""
import ast
import sys
from configparser import ConfigParser
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ('yolo_world_rep', 'yolo_world_rep_cli')
SOURCES = sorted(
    path for folder in (*PACKAGES, 'tools', 'requirements', 'benchmarks')
    for path in (ROOT / folder).rglob('*.py'))
# Of modules whose distribution has another name, where it may be missing.
DISTRIBUTIONS = dict(
    cv2='opencv-python-headless', PIL='pillow', yaml='pyyaml',
    mmcv='mmcv-lite')
# Used where they are, and nothing asks for them.
OPTIONAL = dict(
    torchvision='its suppression, where it works',
    triton='comes with torch for CUDA')


def imported(tree, lazily):
    """Top-level modules; those of functions and of ``try`` come lazily."""
    for node in ast.iter_child_nodes(tree):
        inner = lazily or isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Try)) or (
                isinstance(node, ast.If)
                and 'TYPE_CHECKING' in ast.dump(node.test))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            names = []
        for name in names:
            yield name.partition('.')[0], lazily
        yield from imported(node, inner)


def third_party():
    """(module, whether in a function, file) of each import of ours."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob('*.py')):
            tree = ast.parse(path.read_text(encoding='utf-8'))
            for module, lazily in imported(tree, False):
                if module not in (*sys.stdlib_module_names, *PACKAGES,
                                  *OPTIONAL):
                    yield module, lazily, path.relative_to(ROOT)


def names_in(lines):
    """Names of requirements, our own extras left out."""
    return {
        canonicalize_name(Requirement(line).name) for line in lines
        if line.strip() and not line.startswith('#')
    } - {'yolo-world-rep'}


def declared():
    """Names of the distributions that are needed, and those of extras."""
    needed = names_in((ROOT / 'requirements' / 'runtime.txt').read_text(
        encoding='utf-8').splitlines())
    setup = ConfigParser()
    setup.read(ROOT / 'setup.cfg', encoding='utf-8')
    extras = set()
    for name, value in setup['options.extras_require'].items():
        if name not in ('tests', 'dev', 'docs'):
            extras |= names_in(value.splitlines())
    return needed, extras


# It reads the list of files of everything that is installed.
all_distributions = lru_cache(metadata.packages_distributions)


def distributions_of(module):
    """What a module may come from."""
    found = all_distributions().get(module, ())
    return {canonicalize_name(name) for name in
            (*found, DISTRIBUTIONS.get(module, module))}


def test_what_is_imported_is_declared():
    needed, extras = declared()
    missing = sorted({
        f'{module} in {path}' for module, lazily, path in third_party()
        if not distributions_of(module) & (
            needed | extras if lazily else needed)})
    assert not missing


def test_what_is_declared_is_imported():
    """Else users install what nothing uses."""
    # pipelines of mmyolo's configs import it
    needed = declared()[0] - {'albumentations'}
    used = set().union(*(
        distributions_of(module) for module, _, _ in third_party()))
    assert not needed - used


def text_calls_without_encoding(tree):
    """Calls that read or write text as the locale has it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner = None
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            owner = getattr(node.func.value, 'id', None)
        else:
            name = getattr(node.func, 'id', None)
        if name not in ('open', 'fdopen', 'read_text', 'write_text') or (
                owner in ('os', 'Image') and name == 'open'):
            continue
        modes = [
            value.value for value in (
                *node.args, *(keyword.value for keyword in node.keywords
                              if keyword.arg == 'mode'))
            if isinstance(value, ast.Constant)]
        binary = 'open' in name and 'b' in str(modes[-1:])
        if not binary and not any(
                keyword.arg == 'encoding' for keyword in node.keywords):
            yield node


@pytest.mark.parametrize(('source', 'count'), [
    ("open('a')", 1), ("open('a', 'rb')", 0), ("open('a', mode='w')", 1),
    ('path.read_text()', 1), ("path.write_text('b')", 1),
    ("path.open('rb')", 0),
    ("path.read_text(encoding='utf-8')", 0), ("os.open('a', 1)", 0),
    ('path.open()', 1)])
def test_the_check_for_encodings_sees(source, count):
    found = list(text_calls_without_encoding(ast.parse(source)))
    assert len(found) == count


def test_text_is_read_and_written_as_utf8():
    found = [
        f'{path.relative_to(ROOT)}:{node.lineno}'
        for path in SOURCES
        for node in text_calls_without_encoding(
            ast.parse(path.read_text(encoding='utf-8')))]
    assert not found
