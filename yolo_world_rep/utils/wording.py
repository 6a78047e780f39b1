"""Lists and commands in messages."""
import shlex
from typing import Collection, Optional


def some(items: Collection[object], limit: int = 4,
         count: Optional[int] = None) -> str:
    """The first few of ``count`` items (of those given), and how many more."""
    count = len(items) if count is None else count
    more = f' and {count - limit} more' if count > limit else ''
    return ', '.join(map(str, list(items)[:limit])) + more


def command(*words: object) -> str:
    """A command of this package, to be pasted."""
    return shlex.join(['yolo-world-rep', *map(str, words)])
