"""A pickle, read as data.

A pickle is a program for a machine that makes objects and calls functions.
This machine knows the opcodes that torch writes and calls nothing that a file
names: a name stays a name, a call becomes a record of the call. What a few
names stand for is given by makers of ours.
"""
import gc
import struct
from typing import Any, Callable, Dict, List, Mapping, Optional

from .pickle_values import MAX_OPCODES, Dicts, Name, Ordered, Record

MAX_NAMES = 10_000
MAX_NAME = 256
# Of an integer; a random state has 16.
MAX_LONG = 256

Maker = Callable[[Any], Any]


def _no_persistent(_: Any) -> Any:
    raise ValueError('its pickle refers to something outside')


class Machine:
    """Runs the pickle that begins at ``at``, and ends there after :meth:`run`.

    Makers give the value of a call, by the name of what is called;
    ``persistent`` resolves an identifier.
    """

    def __init__(self, data: bytes, at: int = 0,
                 makers: Optional[Mapping[str, Maker]] = None,
                 persistent: Callable[[Any], Any] = _no_persistent) -> None:
        self.data = data
        self.at = at
        self.makers = makers or {}
        self.persistent = persistent
        self.stack: List[Any] = []
        self.marks: List[int] = []
        self.memo: List[Any] = []
        self.names: Dict[str, Name] = {}
        self.dicts = Dicts()

    def run(self) -> Any:
        # Python would look for cycles again and again as the values grow.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run()
        finally:
            if collecting:
                gc.enable()

    def _run(self) -> Any:
        data, table = self.data, OPCODES
        try:
            for _ in range(MAX_OPCODES):
                opcode = data[self.at]
                self.at += 1
                if opcode == STOP:
                    return self.stack.pop()
                table[opcode](self)
        except IndexError:
            raise ValueError('its pickle is truncated or damaged') from None
        except KeyError:
            raise ValueError(f'its pickle has the opcode 0x{opcode:02x}, '
                             f'which torch does not write') from None
        raise ValueError(f'its pickle has more than {MAX_OPCODES:,} opcodes')

    # --- what opcodes are made of

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise IndexError
        found = self.data[self.at:end]
        self.at = end
        return found

    def number(self, form: struct.Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        end = self.data.find(b'\n', self.at, self.at + MAX_NAME)
        if end < 0:
            raise ValueError('its pickle has a name without an end')
        found = self.data[self.at:end]
        self.at = end + 1
        return found.decode()

    def since_mark(self) -> List[Any]:
        """What was put on the stack since the last mark."""
        place = self.marks.pop()
        if place > len(self.stack):
            raise IndexError
        found = self.stack[place:]
        del self.stack[place:]
        return found

    def name(self, origin: str) -> None:
        found = self.names.get(origin)
        if found is None:
            if len(self.names) == MAX_NAMES:
                raise ValueError(f'its pickle names more than {MAX_NAMES:,} '
                                 f'classes')
            found = self.names[origin] = Name(origin)
        self.stack.append(found)

    def call(self, called: Any, args: Any) -> Any:
        """What a call gives: of our makers, or a record of it."""
        origin = called.origin if isinstance(called, Name) else ''
        maker = self.makers.get(origin)
        if maker is not None:
            return maker(args)
        if origin == 'collections.OrderedDict':
            return self.dicts.ordered(args)
        return Record(origin, args)

    # --- opcodes

    def proto(self) -> None:
        if not 2 <= self.take(1)[0] <= 5:
            raise ValueError('its pickle is of a protocol that torch does '
                             'not write')

    def long(self, size: int) -> None:
        """An integer of so many bytes."""
        if not 0 <= size <= MAX_LONG:
            raise ValueError(f'its pickle has an integer of {size:,} bytes')
        self.stack.append(
            int.from_bytes(self.take(size), 'little', signed=True))

    def extend(self, items: List[Any]) -> None:
        """Append items to a list, or note that they would be."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is Record:
            target.items = target.items or []
            target.items.extend(items)
        else:
            raise ValueError('its pickle appends to what is no list')

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def set_items(self, pairs: List[Any]) -> None:
        """Set items of a dict, or note that they would be."""
        if len(pairs) % 2:
            raise IndexError
        keys, target = pairs[::2], self.stack[-1]
        if isinstance(target, dict):
            self.dicts.check_keys(keys)
            target.update(zip(keys, pairs[1::2]))
        elif type(target) is Record:
            target.pairs = target.pairs or []
            target.pairs.extend(zip(keys, pairs[1::2]))
        else:
            raise ValueError('its pickle sets items of what is no dict')

    def top(self, count: int) -> None:
        """A tuple of the last values."""
        if len(self.stack) < count:
            raise IndexError
        found = tuple(self.stack[-count:])
        self.stack[-count:] = [found]

    def stack_global(self) -> None:
        """A name of two texts."""
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str or (
                max(len(name), len(module)) > MAX_NAME):
            raise ValueError('its pickle has a name that is not text')
        self.name(f'{module}.{name}')

    def reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], args)

    def new_with_keywords(self) -> None:
        """A call with keyword arguments, which none of torch's is."""
        keywords, args, called = (self.stack.pop() for _ in range(3))
        self.stack.append(Record(getattr(called, 'origin', ''),
                                 (args, keywords)))

    def build(self) -> None:
        """Attributes of an object; everything else stays as it is."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], (Record, Ordered)):
            self.stack[-1].state = state

    def persistent_id(self) -> None:
        self.stack[-1] = self.persistent(self.stack[-1])

    def put(self, place: int) -> None:
        value = self.stack[-1]
        if place > len(self.memo) + 1:
            raise ValueError('its pickle is damaged: a number for its memory '
                             'is out of line')
        while place >= len(self.memo):
            self.memo.append(None)
        self.memo[place] = value


STOP = ord('.')
BYTE, SHORT, INT, UINT, LONG, FLOAT = map(
    struct.Struct, ('<B', '<H', '<i', '<I', '<Q', '>d'))


def _push(value: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value(machine))


def _sized(form: struct.Struct,
           made: Callable[[bytes], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(
        made(machine.take(machine.number(form))))


def _text(data: bytes) -> str:
    return data.decode('utf-8', 'surrogatepass')


OPCODES: Dict[int, Callable[[Machine], None]] = {
    ord(key): value
    for key, value in {
        '\x80': Machine.proto,
        '\x95': lambda machine: machine.take(8),
        '(': lambda machine: machine.marks.append(len(machine.stack)),
        '0': lambda machine: machine.stack.pop(),
        '1': Machine.since_mark,
        'N': lambda machine: machine.stack.append(None),
        '\x88': lambda machine: machine.stack.append(True),
        '\x89': lambda machine: machine.stack.append(False),
        'J': _push(lambda machine: machine.number(INT)),
        'K': _push(lambda machine: machine.take(1)[0]),
        'M': _push(lambda machine: machine.number(SHORT)),
        '\x8a': lambda machine: machine.long(machine.take(1)[0]),
        '\x8b': lambda machine: machine.long(machine.number(INT)),
        'G': _push(lambda machine: machine.number(FLOAT)),
        'X': _sized(UINT, _text),
        '\x8c': _sized(BYTE, _text),
        '\x8d': _sized(LONG, _text),
        'U': _sized(BYTE, _text),
        'T': _sized(UINT, _text),
        'B': _sized(UINT, bytes),
        'C': _sized(BYTE, bytes),
        '\x8e': _sized(LONG, bytes),
        '\x96': _sized(LONG, bytes),
        ']': lambda machine: machine.stack.append([]),
        'a': lambda machine: machine.extend([machine.stack.pop()]),
        'e': lambda machine: machine.extend(machine.since_mark()),
        ')': lambda machine: machine.stack.append(()),
        't': _push(lambda machine: tuple(machine.since_mark())),
        '\x85': lambda machine: machine.top(1),
        '\x86': lambda machine: machine.top(2),
        '\x87': lambda machine: machine.top(3),
        '}': lambda machine: machine.stack.append({}),
        's': Machine.set_item,
        'u': lambda machine: machine.set_items(machine.since_mark()),
        '\x8f': _push(lambda machine: Record('builtins.set')),
        '\x90': lambda machine: machine.extend(machine.since_mark()),
        '\x91': _push(lambda machine: Record('builtins.frozenset',
                                             (machine.since_mark(), ))),
        'c': lambda machine: machine.name(
            f'{machine.line()}.{machine.line()}'),
        '\x93': Machine.stack_global,
        'R': Machine.reduce,
        '\x81': Machine.reduce,
        '\x92': Machine.new_with_keywords,
        'b': Machine.build,
        'Q': Machine.persistent_id,
        'q': lambda machine: machine.put(machine.take(1)[0]),
        'r': lambda machine: machine.put(machine.number(UINT)),
        '\x94': lambda machine: machine.put(len(machine.memo)),
        'h': _push(lambda machine: machine.memo[machine.take(1)[0]]),
        'j': _push(lambda machine: machine.memo[machine.number(UINT)]),
    }.items()
}
