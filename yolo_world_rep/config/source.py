"""The Python source of configs: read, edited, and made of plain values."""
import ast
import pprint
import re
from codecs import BOM_UTF8
from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple

from ..utils.files import PathLike, require_regular


class ConfigText:
    """The text of a config, and where its parts stand."""

    def __init__(self, path: PathLike) -> None:
        self.path = require_regular(path)
        self.data = self.path.read_bytes().removeprefix(BOM_UTF8)
        try:
            self.tree = ast.parse(self.data)
        except (SyntaxError, ValueError) as error:
            raise ValueError(f'{path} is not Python: {error}') from None
        self.lines = [0] + [
            found.end() for found in re.finditer(rb'\r\n|\r|\n', self.data)]
        self.edits: Dict[Tuple[int, int], str] = {}

    def values(self, name: str) -> Iterator[ast.expr]:
        """What is assigned to a variable of the config."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == name
                    for target in node.targets):
                yield node.value

    def replace(self, node: ast.expr, text: str) -> None:
        """Put ``text`` where an expression stands."""
        begin = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[node.end_lineno - 1] + node.end_col_offset
        self.edits[begin, end] = text

    def edited(self, more: Sequence[str] = ()) -> bytes:
        """The text with all edits and ``more`` lines at its end."""
        data = self.data
        for (begin, end), text in sorted(self.edits.items(), reverse=True):
            data = data[:begin] + text.encode() + data[end:]
        ending = b'\r\n' if b'\r\n' in data else b'\n'
        for line in more:
            data = data.rstrip(b'\r\n') + ending + line.encode() + ending
        return data


def plain_source(value: Any) -> str:
    """Python source of a plain value."""
    if not isinstance(value, Mapping):
        return repr(value)
    parts = {key: plain_source(each) for key, each in value.items()}
    if all(isinstance(key, str) and key.isidentifier() for key in parts):
        inner = ', '.join(f'{key}={each}' for key, each in parts.items())
        return f'dict({inner})'
    inner = ', '.join(f'{key!r}: {each}' for key, each in parts.items())
    return f'{{{inner}}}'


def long_tuple(values: Sequence[Any]) -> str:
    """Source of what may have thousands of entries.

    The formatter of the rest would take minutes.
    """
    lines = pprint.pformat(list(values), width=76, compact=True)[1:-1]
    return '(\n    {},\n)'.format(lines.replace('\n ', '\n    '))


def formatted(text: str) -> str:
    """Python source in lines of at most 79 characters."""
    from yapf.yapflib.yapf_api import FormatCode
    style = dict(based_on_style='pep8', column_limit=79)
    return FormatCode(f'{text}\n', style_config=style)[0]
