"""A checkpoint file, judged before and after it is loaded.

torch trusts what an archive says of itself: it does not compare checksums,
and takes as much memory as is declared.
"""
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import Tensor

ARCHIVE = b'PK\x03\x04'
# So many times the bytes of a file, and so many more, may be in memory:
# torch does not compress, but a tool may have packed the file anew.
GROWTH = 4
ROOM = 64 << 20


def budget_of(path: Path) -> int:
    """Bytes that a file's content may take in memory."""
    return GROWTH * path.stat().st_size + ROOM


def _over(path: Path, what: str, size: int) -> ValueError:
    return ValueError(
        f'{path} has {os.path.getsize(path):,} bytes and {what} '
        f'{size:,}: it would fill the memory. Do not use this file.')


def check_archive(path: Path, torchscript: bool = False) -> None:
    """Refuse a file that is damaged, is something else, or is a bomb.

    Files of torch before 1.6, which are no archives, have no checksums.

    Args:
        path (Path): The file.
        torchscript (bool): Whether a TorchScript archive is expected, and
            no checkpoint. Defaults to False.

    Raises:
        ValueError: If it is not what ``torch.save`` writes.
    """
    with open(path, 'rb') as file:
        start = file.read(len(ARCHIVE))
    if start != ARCHIVE:
        if tarfile.is_tarfile(path) and not torchscript:
            raise ValueError(
                f'{path} is a tar archive, as torch before 0.2 wrote them; '
                f'expected a checkpoint (.pth with a state_dict).')
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            # torch reads from these places, zipfile corrects them.
            moved = min(entry.header_offset for entry in entries) > 0
            declared = sum(entry.file_size for entry in entries)
            fits = declared <= budget_of(path)
            damaged = archive.testzip() if fits else None
    except Exception as error:  # of many kinds, by the kind of damage
        raise ValueError(
            f'{path} is not a {"model" if torchscript else "checkpoint"} '
            f'that can be read: it is truncated or of another kind '
            f'({error}).') from error
    if moved:
        raise ValueError(f'{path} is damaged: bytes were added to it or are '
                         f'missing. Get the file again.')
    if not torchscript and any(
            name.endswith('constants.pkl') for name in names):
        raise ValueError(f'{path} is a TorchScript archive; expected a '
                         f'training checkpoint (.pth with a state_dict).')
    if not fits:
        raise _over(path, 'declares', declared)
    if len(names) < len(entries):
        raise ValueError(f'{path} has entries of the same name: it is '
                         f'damaged, or not of torch. Get the file again.')
    if damaged is not None:
        raise ValueError(f'{path} is damaged: the checksum of {damaged!r} '
                         f'is not that of its bytes. Get the file again.')


def check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are larger than what the file holds of them.

    Args:
        path (Path): The file.
        tensors (Mapping): From it; few bytes can stand for many.

    Raises:
        ValueError: If copies of them would fill the memory, or one is not a
            plain tensor of numbers.
    """
    size = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or (
                tensor.device.type != 'cpu'):
            raise ValueError(f'{path}: {name} is a tensor of {tensor.layout} '
                             f'on {tensor.device}; expected a plain one.')
        size += tensor.numel() * tensor.element_size()
    if size > budget_of(path):
        raise _over(path, 'its tensors would take', size)


def require(path: Path, name: str, value: Any, fits: bool,
            expected: str) -> None:
    """Refuse what was written by hand or is damaged.

    Raises:
        ValueError: With name, value and what was expected.
    """
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f'{shown[:80]}…'
        raise ValueError(
            f'{path}: its meta has {name}={shown}; expected {expected}. The '
            f'file was changed by hand or damaged: convert its source again '
            f'with yolo-world-rep reparameterize.')
