"""A page of Markdown as one HTML file that needs no other and no network."""
import base64
import html
from pathlib import Path
from typing import Any

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 1020px; margin: auto; padding: 1em; overflow-wrap: anywhere }}
img {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ border: 1px solid #ccc; padding: .3em .7em; text-align: left;
  overflow-wrap: normal }}
pre {{ background: #f4f4f4; padding: .8em; white-space: pre-wrap }}
@media (max-width: 600px) {{ tr:has(img) th {{ display: block }} }}
@media print {{ img, tr, pre {{ break-inside: avoid; max-height: 20cm }} }}
</style></head><body>
{body}</body></html>
"""


def as_html(markdown: str, title: str, folder: Path) -> str:
    """The page; its pictures, .png and .jpeg, are read from a folder."""
    from markdown_it import MarkdownIt
    parser = MarkdownIt('commonmark', {'html': False}).enable('table')
    render = parser.renderer.rules['image']  # type: ignore[attr-defined]

    def image(tokens: Any, index: int, *more: Any) -> str:
        path = folder / str(tokens[index].attrs['src'])
        data = base64.b64encode(path.read_bytes()).decode('ascii')
        kind = path.suffix[1:]
        tokens[index].attrs['src'] = f'data:image/{kind};base64,{data}'
        return render(tokens, index, *more)

    parser.renderer.rules['image'] = image  # type: ignore[attr-defined]
    return PAGE.format(title=html.escape(title), body=parser.render(markdown))
