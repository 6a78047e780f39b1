"""For mkdocs: links to files of the repository that are no pages.

On a forge they lead there. The site does not hold these files, so that a link
becomes its text and the path; one that leads nowhere ends the build.
"""
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
LINK = re.compile(r'\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)')


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Rewrite the links of a page that leave the documentation."""
    folder = (REPOSITORY / 'docs' / page.file.src_uri).parent

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
