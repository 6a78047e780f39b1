"""Lists in messages, cut to a length that is read."""
from typing import Collection, Optional


def some(items: Collection[object],
         limit: int = 4,
         count: Optional[int] = None) -> str:
    """The first few of many, and how many more there are.

    Args:
        items (Collection): Some or all of them.
        limit (int): How many are named. Defaults to 4.
        count (int, optional): How many there are. Defaults to None for
            those given.
    """
    count = len(items) if count is None else count
    more = f' and {count - limit} more' if count > limit else ''
    return ', '.join(map(str, list(items)[:limit])) + more
