"""Lists and commands in messages."""
import difflib
import shlex
from typing import Collection, Optional, Sequence


def some(items: Collection[object], limit: int = 4,
         count: Optional[int] = None) -> str:
    """The first few of ``count`` items (of those given), and how many more."""
    count = len(items) if count is None else count
    more = f' and {count - limit} more' if count > limit else ''
    return ', '.join(map(str, list(items)[:limit])) + more


def command(*words: object) -> str:
    """A command of this package, to be pasted."""
    return shlex.join(['yolo-world-rep', *map(str, words)])


def near_names(name: str, names: Sequence[str]) -> str:
    """A sentence with the names that another one may have been meant for."""
    near = difflib.get_close_matches(name, names, 3)
    hint = 'Did you mean' if near else 'There are, among others,'
    return f'{hint} {", ".join(map(repr, near or names[:8]))}.'
