"""Values of a pickle that are not plain: names, calls, ordered dicts."""
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, List, Optional

# A checkpoint with the state of an optimizer has some hundred thousand.
MAX_OPCODES = 1_000_000
# Python's dicts become slow for numbers that are chosen to. Text is not.
MAX_INT_KEYS, MAX_OTHER_KEYS = 50_000, 1_000
SMALL = 1 << 31
MAX_TUPLE_KEY = 16
ATOMS = frozenset((str, int, float, bool, bytes))


@dataclass(eq=False, repr=False, slots=True)
class Name:
    """A class or function named by a file, which is never looked up."""
    origin: str


@dataclass(eq=False, repr=False, slots=True)
class Record:
    """An object that a file would have made: its call and its content."""
    origin: str  # the name of what makes it, with its module's
    args: Any = ()
    state: Any = None
    items: Optional[List[Any]] = None
    pairs: Optional[List[Any]] = None


class Ordered(OrderedDict):
    """An ordered dict, and the attributes that the file gave it."""
    state: Any = None


class Dicts:
    """Makes dicts of a pickle, and refuses what would make them slow."""

    def __init__(self) -> None:
        self.int_keys = self.other_keys = self.pairs = 0

    def ordered(self, args: Any) -> Ordered:
        """An ordered dict, filled with a list of pairs if there is one."""
        found = Ordered()
        pairs = args[0] if type(args) is tuple and args else []
        if type(pairs) is not list:
            raise ValueError('its pickle has a damaged dict')
        # One list may be named many times.
        self.pairs += len(pairs)
        if self.pairs > MAX_OPCODES:
            raise ValueError('its pickle fills too many dicts')
        for pair in pairs:
            if type(pair) not in (tuple, list) or len(pair) != 2:
                raise ValueError('its pickle has a damaged dict')
            self.check_keys([pair[0]])
            found[pair[0]] = pair[1]
        return found

    def check_keys(self, keys: List[Any]) -> None:
        """Refuse keys that make a dict slow, or hashing recursive."""
        for key in keys:
            kind = type(key)
            if kind is str:
                continue
            if kind is int and -SMALL < key < SMALL:
                self.int_keys += 1
                if self.int_keys > MAX_INT_KEYS:
                    raise ValueError(f'its pickle has more than '
                                     f'{MAX_INT_KEYS:,} numbers as keys')
                continue
            self.other_keys += 1
            if self.other_keys > MAX_OTHER_KEYS:
                raise ValueError(f'its pickle has more than '
                                 f'{MAX_OTHER_KEYS:,} keys that are not text')
            if kind is tuple and len(key) <= MAX_TUPLE_KEY and all(
                    each is None or type(each) in ATOMS for each in key):
                continue
            if key is not None and kind not in ATOMS and kind not in (
                    Name, Record):
                raise ValueError(f'its pickle has a {kind.__name__} as a key')
