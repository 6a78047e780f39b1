"""Python source of plain values, as configs have it."""
import pprint
from typing import Any, Mapping, Sequence


def plain_source(value: Any) -> str:
    """Python source of a plain value."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            inner = ', '.join(
                f'{key}={plain_source(each)}' for key, each in value.items())
            return f'dict({inner})'
        inner = ', '.join(
            f'{key!r}: {plain_source(each)}' for key, each in value.items())
        return f'{{{inner}}}'
    return repr(value)


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
