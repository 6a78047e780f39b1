"""The figures of the documentation can be drawn and are the ones shown."""
import importlib.util
from xml.etree import ElementTree

from docs_blocks import REPOSITORY

DOCS = REPOSITORY / 'docs'


def test_figures(tmp_path):
    spec = importlib.util.spec_from_file_location('docs_figures',
                                                  DOCS / 'figures.py')
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    for folder in ('a', 'b'):
        figures.draw_all(tmp_path / folder)
    pages = ''.join(
        path.read_text(encoding='utf-8')
        for path in (REPOSITORY / 'README.md', *DOCS.glob('*.md')))
    assert sorted(path.name for path in (tmp_path / 'a').iterdir()) == sorted(
        figures.FIGURES)
    for name in figures.FIGURES:
        drawn = (tmp_path / 'a' / name).read_bytes()
        assert drawn == (tmp_path / 'b' / name).read_bytes()
        assert b'<dc:date>' not in drawn
        kept = DOCS / 'images' / name
        assert kept.stat().st_size < 80_000
        # Another version of matplotlib draws other glyphs, of one size.
        sizes = [
            ElementTree.fromstring(content).attrib['viewBox']
            for content in (drawn, kept.read_bytes())
        ]
        assert sizes[0] == sizes[1], 'run: python docs/figures.py'
        assert f'images/{name}' in pages
