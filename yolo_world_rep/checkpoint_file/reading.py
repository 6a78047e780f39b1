"""Reads a checkpoint in any format.

Neither torch nor Python's pickle sees the file: both follow it where this
does not go.
"""
import sys
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Tuple, Union

import torch
from torch import Tensor

from . import safetensors_file
from .pickle_records import Machine
from .tensors import Tensors, size_of, storage_of
from .zip_directory import START, Archive

# So many times the bytes of a file, and so many more, may be in memory:
# torch does not compress, but a tool may have packed the file anew.
GROWTH = 4
ROOM = 64 << 20
# Of a pickle, more than the bytes of its file.
PICKLE_ROOM = 32 << 20
MAGIC = 0x1950a86a20f9469cfc6c
LEGACY_PROTOCOL = 1001
# What other files begin with, to say what they are.
OTHERS = {
    b'\x1f\x8b': 'is packed with gzip',
    b'BZh': 'is packed with bzip2',
    b'\xfd7zXZ': 'is packed with xz',
    b'\x89HDF': 'is an HDF5 file',
    b'\x93NUMPY': 'is an array of NumPy',
}


def budget_of(size: int) -> int:
    """The memory limit for the content of a file, in bytes."""
    return GROWTH * size + ROOM


def read(path: Union[str, Path]) -> Any:
    """The content of a checkpoint file, on the CPU. Nothing in it runs.

    Args:
        path (str | Path): Of ``torch.save``, in the format of before torch
            1.6 or after, or of safetensors. The tensors of the latter are
            under ``state_dict`` and what its metadata says under ``meta``.

    Returns:
        Any: Plain values and tensors; everything else is a :class:`Record`
        or a :class:`Name`.

    Raises:
        ValueError: If the file is none of these, is damaged, or would fill
            the memory.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'Checkpoint {path} is not a file.')
    try:
        with open(path, 'rb') as file:
            return _read(file, path.stat().st_size)
    except ValueError as error:
        raise ValueError(f'{path} is not a checkpoint that can be read: '
                         f'{error}. Expected what torch.save or safetensors '
                         f'writes; get the file again.') from error


def _read(file: BinaryIO, size: int) -> Any:
    start = file.read(512)
    file.seek(0)
    if start.startswith(START):
        archive = Archive(file, size, budget_of(size))
        content = _from_archive(archive, size)
        archive.check_rest()
        return content
    if safetensors_file.is_one(start, size):
        return safetensors_file.parsed(file.read())
    if start[:1] == b'\x80':
        return _from_legacy(file.read(), budget_of(size))
    if start[257:262] == b'ustar':
        raise ValueError('it is a tar archive, as torch before 0.2 wrote them')
    for magic, what in OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f'it {what}')
    raise ValueError('it is truncated or of another kind')


def check_torchscript(path: Union[str, Path]) -> None:
    """Refuse a TorchScript file whose archive can be read in two ways.

    Raises:
        ValueError: If it is damaged, no archive, or would fill the memory.
    """
    size = Path(path).stat().st_size
    try:
        with open(path, 'rb') as file:
            Archive(file, size, budget_of(size)).check_rest()
    except ValueError as error:
        raise ValueError(f'{path} is not a model that can be read: {error}. '
                         f'Export it again.') from error


def _filled(size: int, fill: Callable[[memoryview], None]) -> Tensor:
    """Bytes as torch keeps them."""
    found = torch.empty(size, dtype=torch.uint8)
    fill(memoryview(found.numpy()))
    return found


def _run(data: bytes, at: int, storage: Callable[[str, int], Tensor],
         budget: int) -> Any:
    """The content of a pickle whose tensors are elsewhere."""
    tensors = Tensors(storage, budget)
    try:
        return Machine(data, at, tensors.makers, tensors.storage).run()
    finally:
        tensors.forget()


def _from_archive(archive: Archive, size: int) -> Any:
    """The content of the format since torch 1.6."""
    pickles = [name for name in archive.entries
               if name.count('/') == 1 and name.endswith('/data.pkl')]
    if any(name.endswith('constants.pkl') for name in archive.entries):
        raise ValueError('it is a TorchScript archive, and no training '
                         'checkpoint (.pth with a state_dict)')
    if len(pickles) != 1:
        raise ValueError('it is no archive with one pickle of torch')
    root = pickles[0][:-len('data.pkl')]
    if any(not name.startswith(root) for name in archive.entries):
        raise ValueError('it is an archive of several folders')
    order = f'{root}byteorder'
    if order in archive.entries and (
            archive.read(order).decode('latin1') != sys.byteorder):
        raise ValueError('it was written on a machine with another order of '
                         'bytes')
    if archive.entries[pickles[0]].size > size + PICKLE_ROOM:
        raise ValueError('its pickle is far larger than the file: it would '
                         'fill the memory')

    def storage(key: str, count: int) -> Tensor:
        name = f'{root}data/{key}'
        entry = archive.entries.get(name)
        if entry is None or entry.size != count:
            raise ValueError(
                f'its pickle says that {name[:80]!r} has {count:,} bytes, '
                f'and it has {entry.size if entry else 0:,}')
        return _filled(count, partial(archive.fill, name))

    return _run(archive.read(pickles[0]), 0, storage, budget_of(size))


def _pickle_at(data: bytes, at: int) -> Tuple[Any, int]:
    machine = Machine(data, at)
    return machine.run(), machine.at


def _from_legacy(data: bytes, budget: int) -> Any:
    """The content of the format before torch 1.6: pickles, then storages."""
    magic, at = _pickle_at(data, 0)
    if type(magic) is not int or magic != MAGIC:
        raise ValueError('it is a pickle, but not of torch: it is truncated '
                         'or of another kind')
    protocol, at = _pickle_at(data, at)
    about, begin = _pickle_at(data, at)
    if type(protocol) is not int or protocol != LEGACY_PROTOCOL or (
            not isinstance(about, dict)):
        raise ValueError('it is of an unknown format of torch')
    if about.get('little_endian') is not (sys.byteorder == 'little'):
        raise ValueError('it was written on a machine with another order of '
                         'bytes')
    # The storages come after the pickle that names them: read it twice.
    sizes: Dict[str, int] = {}

    def note(identifier: Any) -> None:
        key, dtype, _ = storage_of(identifier)
        if sizes.setdefault(key, size_of(dtype)) != size_of(dtype):
            raise ValueError('its pickle has two types for one storage')

    first = Machine(data, begin, persistent=note)
    first.run()
    keys, at = _pickle_at(data, first.at)
    places: Dict[str, Tuple[int, int]] = {}
    for key in keys if type(keys) is list else ():
        if type(key) is not str or key not in sizes or key in places:
            raise ValueError('its list of storages is damaged')
        count = int.from_bytes(data[at:at + 8], 'little') * sizes[key]
        at += 8
        places[key] = at, count
        at += count
    if at != len(data):
        raise ValueError('it is truncated, or bytes were added to it')

    def storage(key: str, count: int) -> Tensor:
        start, size = places.get(key, (0, 0))
        if key not in places or size != count:
            raise ValueError(f'its pickle says that its storage {key[:80]!r} '
                             f'has {count:,} bytes, and it has {size:,}')

        def fill(view: memoryview) -> None:
            view[:] = memoryview(data)[start:start + count]

        return _filled(count, fill)

    return _run(data, begin, storage, budget)
