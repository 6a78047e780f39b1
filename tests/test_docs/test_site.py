"""The site of the documentation is built, and nothing in it leads nowhere."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([
    *REPOSITORY.glob('*.md'), *REPOSITORY.glob('docs/**/*.md'),
    REPOSITORY / 'configs' / 'README.md'
])
LINK = re.compile(r'\]\(([^)#\s]*)(?:#([^)\s]*))?\)')
FENCE = re.compile(r'^```.*?^```', re.M | re.S)


def anchors(page):
    """What the headings of a page are called, as forges call them."""
    text = FENCE.sub('', page.read_text())
    return {
        re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-')
        for heading in re.findall(r'^#+ (.+)$', text, re.M)
    }


@pytest.mark.parametrize(
    'page', PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(FENCE.sub('', page.read_text())):
        if '://' in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f'{target}#{anchor}'


def build(folder, out):
    return subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-d', str(out)],
        cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    """What the site is made of."""
    pytest.importorskip('mkdocs', reason='no mkdocs: pip install '
                        '"yolo_world_rep[docs]" (pinned from Python 3.11)')
    folder = tmp_path / 'copy'
    for name in ('docs', 'configs', 'yolo_world_rep'):
        shutil.copytree(REPOSITORY / name, folder / name)
    for path in (*REPOSITORY.glob('*.md'), REPOSITORY / 'mkdocs.yml'):
        shutil.copy(path, folder)
    return folder


def test_the_site_is_built(copy, tmp_path):
    done = build(copy, tmp_path / 'site')
    assert done.returncode == 0, done.stderr
    api = (tmp_path / 'site' / 'api.html').read_text()
    assert 'The deploy form of a trained folded detector' in api


@pytest.mark.parametrize(
    'wrong', ['nowhere.md', 'install.md#nowhere', '../nowhere.py'])
def test_a_broken_link_fails(copy, tmp_path, wrong):
    with (copy / 'docs' / 'quick_start.md').open('a') as page:
        page.write(f'\n[wrong]({wrong})\n')
    done = build(copy, tmp_path / 'site')
    assert done.returncode != 0
    assert wrong.rpartition('/')[2].split('#')[0] in done.stderr
