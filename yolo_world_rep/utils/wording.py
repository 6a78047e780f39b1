"""Lists in messages, cut to a length that is read."""
from typing import Collection


def some(items: Collection[object], limit: int = 4) -> str:
    """The first few of many, and how many more there are."""
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return ', '.join(map(str, list(items)[:limit])) + more
