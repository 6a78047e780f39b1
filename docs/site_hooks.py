"""For mkdocs: what reads differently in the repository and in the site.

Links to files of the repository work on a forge. The site does not hold these
files, so a link becomes its text and the path; a link to no file ends the
build. The list of names in docs/api.md becomes their docstrings.
"""
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
LINK = re.compile(r'\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)')
#: An entry of docs/api.md: a name, its module, and what it does.
ENTRY = re.compile(r'^- \[`(\w+)`\]\(\.\./([\w/]+)\.py\): .*$', re.M)
#: A role of Sphinx in a docstring, such as :func:`~.backends.open_backend`.
ROLE = re.compile(r':\w+:<code>~?\.*(?:\w+\.)*(\w+)</code>')


def docstring_of(entry: 're.Match[str]') -> str:
    """What makes mkdocstrings write out an entry of docs/api.md."""
    name, module = entry[1], entry[2].replace('/', '.')
    if module.endswith(f'.{name}') and name != 'guide_max':
        return f'::: {module}\n'
    return f'::: {module}.{name}\n'


def on_page_content(html: str, **kwargs: Any) -> str:
    """Names in the place of Sphinx's roles."""
    return ROLE.sub(r'<code>\1</code>', html)


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Rewrite the links of a page that leave the documentation."""
    folder = (REPOSITORY / 'docs' / page.file.src_uri).parent
    if page.file.src_uri == 'api.md':
        markdown = ENTRY.sub(docstring_of, markdown)

    def rewrite(link: 're.Match[str]') -> str:
        text, target, _ = link.groups()
        if '://' in target or target.startswith('mailto:'):
            return link[0]
        path = (folder / target).resolve()
        if (REPOSITORY / 'docs') in path.parents and path.suffix not in (
                '.py', '.ipynb'):
            return link[0]  # mkdocs looks after it
        if not path.exists():
            raise ValueError(
                f'docs/{page.file.src_uri}: {target} leads nowhere; expected '
                f'a file of the repository.')
        return f'{text} (`{path.relative_to(REPOSITORY)}`)'

    return LINK.sub(rewrite, markdown)
