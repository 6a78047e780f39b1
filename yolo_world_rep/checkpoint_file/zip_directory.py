"""A checkpoint's archive, which has only one reading.

The format of zip says some things twice, and readers that believe different
ones see different files. Here all of it must agree: one directory at the very
end, entries one after the other from the first byte, each described alike in
the directory and before its bytes.
"""
import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO, Dict, Iterator, List, Set, Tuple

START = b'PK\x03\x04'
END = struct.Struct('<4s4H2LH')
LOCATOR = struct.Struct('<4sLQL')
END64 = struct.Struct('<4sQ2H2L4Q')
CENTRAL = struct.Struct('<4s6H3L5H2L')
LOCAL = struct.Struct('<4s5H3L2H')
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
STORED, DEFLATED = 0, 8
# Bits of the flags: how hard was compressed, sizes after the bytes, UTF-8.
KNOWN_FLAGS, SIZES_AFTER = 0b1000_0000_1110, 0b1000
# A checkpoint has some thousand.
MAX_ENTRIES = 100_000
BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file of an archive, as zip describes it."""
    name: str
    offset: int  # where its header begins
    packed: int  # bytes that it takes in the archive
    size: int  # bytes that it has
    crc: int
    method: int
    flags: int
    start: int = 0  # where its bytes begin, once its header was read


def _unpacked(form: struct.Struct, data: bytes, at: int = 0) -> Tuple:
    if at < 0 or len(data) < at + form.size:
        raise ValueError('it is truncated')
    return form.unpack_from(data, at)


def _wide(extra: bytes) -> List[int]:
    """The numbers of 64 bits that do not fit in a header."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from('<2H', extra, at)
        at += 4
        if kind == 1:
            count = min(size, len(extra) - at) // 8
            return list(struct.unpack_from(f'<{count}Q', extra, at))
        at += size
    return []


class Archive:
    """A zip archive whose every byte is accounted for, or ``ValueError``."""

    def __init__(self, file: BinaryIO, size: int, budget: int) -> None:
        self.file = file
        self.read_names: Set[str] = set()
        start, count, data = self._directory(size)
        listed = self._listed(data, count)
        declared = sum(entry.size for entry in listed)
        if declared > budget:
            raise ValueError(f'it has {size:,} bytes and declares '
                             f'{declared:,}: it would fill the memory')
        ends = [entry.offset for entry in listed[1:]] + [start]
        self.entries: Dict[str, Entry] = {}
        position = 0
        for entry, end in zip(listed, ends):
            if entry.offset != position:
                raise ValueError('bytes were added to it or are missing')
            self.entries[entry.name] = self._located(entry, end)
            position = end
        if len(self.entries) < len(listed):
            raise ValueError('it has entries of the same name')

    def _at(self, position: int, size: int) -> bytes:
        self.file.seek(position)
        return self.file.read(size)

    def _directory(self, size: int) -> Tuple[int, int, bytes]:
        """Where the directory begins, its number of entries, its bytes."""
        end = size - END.size
        if end < 0:
            raise ValueError('it is truncated')
        (signature, disk, first_disk, here, count, length, start,
         comment) = _unpacked(END, self._at(end, END.size))
        if signature != b'PK\x05\x06' or comment or disk or first_disk or (
                here != count):
            raise ValueError('it does not end as an archive of torch does: '
                             'it is truncated or of another kind, or bytes '
                             'were added')
        found = self._at(max(end - LOCATOR.size, 0), LOCATOR.size)
        if end >= LOCATOR.size and found.startswith(b'PK\x06\x07'):
            _, disk, end64, disks = _unpacked(LOCATOR, found)
            end -= LOCATOR.size
            if disk or disks > 1 or end64 + END64.size != end:
                raise ValueError('bytes were added to it or are missing')
            (signature, own, _, _, disk, first_disk, here, count64, length64,
             start64) = _unpacked(END64, self._at(end64, END64.size))
            if signature != b'PK\x06\x06' or own != END64.size - 12 or (
                    disk or first_disk or here != count64) or any(
                        narrow not in (wide, full) for narrow, wide, full in (
                            (count, count64, FULL16),
                            (length, length64, FULL32),
                            (start, start64, FULL32))):
                raise ValueError('its two directories disagree')
            end, count, length, start = end64, count64, length64, start64
        if start + length != end:
            raise ValueError('bytes were added to it or are missing')
        if not 0 < count <= MAX_ENTRIES or count * CENTRAL.size > length:
            raise ValueError(f'it declares {count:,} entries')
        return start, count, self._at(start, length)

    @staticmethod
    def _listed(data: bytes, count: int) -> List[Entry]:
        """The entries of the directory, in the order of their bytes."""
        found, at = [], 0
        for _ in range(count):
            (signature, _, _, flags, method, _, _, crc, packed, size,
             name_size, extra_size, comment_size, disk, _, _,
             offset) = _unpacked(CENTRAL, data, at)
            at += CENTRAL.size
            name = data[at:at + name_size]
            wide = _wide(data[at + name_size:at + name_size + extra_size])
            at += name_size + extra_size + comment_size
            numbers = []
            for number in (size, packed, offset):
                if number == FULL32 and not wide:
                    raise ValueError('its directory is damaged')
                numbers.append(wide.pop(0) if number == FULL32 else number)
            if signature != b'PK\x01\x02' or disk or (
                    flags & ~KNOWN_FLAGS or method not in (STORED, DEFLATED)):
                raise ValueError('its directory is damaged, or its entries '
                                 'are packed in a way that torch does not')
            size, packed, offset = numbers
            found.append(Entry(name.decode(), offset, packed, size, crc,
                               method, flags))
        if at != len(data):
            raise ValueError('its directory is damaged')
        return sorted(found, key=lambda entry: entry.offset)

    def _located(self, entry: Entry, end: int) -> Entry:
        """An entry whose own header agrees, and that ends where it must."""
        (signature, _, flags, method, _, _, crc, packed, size, name_size,
         extra_size) = _unpacked(LOCAL, self._at(entry.offset, LOCAL.size))
        tail = self.file.read(name_size + extra_size)
        wide = _wide(tail[name_size:])
        start = entry.offset + LOCAL.size + len(tail)
        after = bool(flags & SIZES_AFTER)

        def agrees(own: int, listed: int, number: int) -> bool:
            return own == listed or (after and own in (0, FULL32)) or (
                own == FULL32 and wide[number:number + 1] == [listed])

        rest = end - start - entry.packed
        numbers = (entry.crc, entry.packed, entry.size)
        if after:
            endings = [signature + struct.pack(form, *numbers)
                       for signature in (b'', b'PK\x07\x08')
                       for form in ('<3L', '<L2Q')
                       if form == '<L2Q' or max(numbers) <= FULL32]
        else:
            endings = [b'']
        if signature != START or len(tail) < name_size + extra_size or (
                (flags, method) != (entry.flags, entry.method)
                or tail[:name_size] != entry.name.encode()
                or not (crc == entry.crc or after and crc == 0)
                or not agrees(size, entry.size, 0)
                or not agrees(packed, entry.packed, 1)
                or method == STORED and entry.packed != entry.size
                or not 0 <= rest <= 24
                or self._at(end - rest, rest) not in endings):
            raise ValueError(f'it is damaged: the directory and the header of '
                             f'{entry.name!r} disagree, or bytes were added '
                             f'to it or are missing')
        return replace(entry, start=start)

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of an entry, a part at a time, no more than declared."""
        entry = self.entries[name]
        self.file.seek(entry.start)
        left, size, crc = entry.packed, 0, 0
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        waiting = b''
        while left or waiting:
            if not waiting:
                waiting = self.file.read(min(left, BLOCK))
                left -= len(waiting)
                if not waiting:
                    raise ValueError('it is truncated')
            block, waiting = waiting, b''
            if entry.method == DEFLATED:
                try:
                    block = inflate.decompress(block, BLOCK)
                except zlib.error as error:
                    raise ValueError(f'{name!r} in it is damaged '
                                     f'({error})') from None
                waiting = inflate.unconsumed_tail
                if inflate.unused_data:
                    raise ValueError(f'{name!r} in it has bytes too many')
            size += len(block)
            crc = zlib.crc32(block, crc)
            if size > entry.size:
                raise ValueError(f'{name!r} in it is larger than declared')
            yield block
        if entry.method == DEFLATED and not inflate.eof:
            raise ValueError(f'{name!r} in it is truncated')
        self._check(entry, size, crc)

    def fill(self, name: str, view: memoryview) -> None:
        """Put the bytes of an entry in memory; see :meth:`blocks`."""
        entry = self.entries[name]
        if entry.method == STORED:
            self.file.seek(entry.start)
            if self.file.readinto(view) != entry.size:  # type: ignore
                raise ValueError('it is truncated')
            self._check(entry, entry.size, zlib.crc32(view))
            return
        at = 0
        for block in self.blocks(name):
            view[at:at + len(block)] = block
            at += len(block)

    def _check(self, entry: Entry, size: int, crc: int) -> None:
        if crc != entry.crc or size != entry.size:
            raise ValueError(f'it is damaged: the checksum of '
                             f'{entry.name!r} is not that of its bytes')
        self.read_names.add(entry.name)

    def read(self, name: str) -> bytes:
        """The bytes of an entry; see :meth:`blocks`."""
        return b''.join(self.blocks(name))

    def check_rest(self) -> None:
        """Compare the checksums of what was not read; see :meth:`blocks`."""
        for name in self.entries.keys() - self.read_names:
            for _ in self.blocks(name):
                pass
