"""A checksum within the file that it is of.

ONNX and OpenVINO files have none, and a flipped bit of a weight changes
detections without a word. The metadata of an exported file hold a mark of
fixed length, first blank, then the hash of everything with the mark blank.
"""
import hashlib
import re
from pathlib import Path
from typing import Optional, Sequence

from yolo_world_rep.utils.files import require_regular

SIGN = b'sha256-'
BLANK = 'sha256-' + '0' * 64
MARK = re.compile(SIGN + rb'[0-9a-f]{64}')


def _find_mark(data: bytes) -> Optional[int]:
    """Where the first mark is; files are large, and a search takes long."""
    at = data.find(SIGN)
    while at >= 0 and not MARK.match(data, at):
        at = data.find(SIGN, at + 1)
    return None if at < 0 else at


def _digest(data: bytes, at: int, others: Sequence[Path]) -> bytes:
    whole = memoryview(data)
    digest = hashlib.sha256(whole[:at])
    digest.update(BLANK.encode())
    digest.update(whole[at + len(BLANK):])
    for path in others:
        digest.update(path.read_bytes())
    return b'sha256-' + digest.hexdigest().encode()


def seal(paths: Sequence[Path]) -> None:
    """Put the hash of the files into the mark of the first, if it has one."""
    data = paths[0].read_bytes()
    at = _find_mark(data)
    if at is not None and BLANK.encode() in data:
        mark = _digest(data, at, paths[1:])
        paths[0].write_bytes(data[:at] + mark + data[at + len(mark):])


def pending(path: Path) -> Path:
    """Where a file waits until what goes with it has its name."""
    return path.with_name(f'.{path.stem}.new{path.suffix}')


def find_weights(path: Path) -> Path:
    """The ``.bin`` of the same export as an ``.xml``.

    It lies beside it or, if an export was killed between two renames, still
    has its waiting name.
    """
    beside = path.with_suffix('.bin')
    try:
        check_seal([path, beside])
    except ValueError:
        if not pending(beside).is_file():
            raise
        beside = pending(beside)
        check_seal([path, beside])
    return beside


def check_seal(paths: Sequence[Path]) -> bytes:
    """Refuse files that changed since their export, if they have a hash.

    Gives the content of the first, which is read once.
    """
    for path in paths:
        require_regular(path)
    data = paths[0].read_bytes()
    at = _find_mark(data)
    found = b'' if at is None else data[at:at + len(BLANK)]
    if at is None or found == BLANK.encode():
        return data
    missing = [path for path in paths[1:] if not path.is_file()]
    if missing:
        raise ValueError(f'{paths[0]} goes with {missing[0].name}, which is '
                         f'not beside it. Copy it there, or export again.')
    if found != _digest(data, at, paths[1:]):
        names = ' and '.join(path.name for path in paths)
        raise ValueError(
            f'{paths[0]}: the checksum in it is not that of {names}: damaged, '
            f'or changed since the export. Export the model again.')
    return data
