"""Checkpoint files: written whole, and found again after a crash."""
import logging
import os
import os.path as osp
import re
import zipfile
from typing import List, Optional, Union

from mmengine.fileio import LocalBackend, register_backend

from ..utils.files import atomic_path
from ..utils.log import log

LAST = 'last_checkpoint'  # mmengine's file with the name of the newest
NEWEST = 'last.pth'  # of an epoch that has no file of its own
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth|last\.pth')
# What atomic_path leaves when the process is killed while it writes.
LEFTOVER = re.compile(r'\.(?:.*\.pth|last_checkpoint)\.\w+\.tmp(?:\.pth)?')

# The backend below in mmengine's ``backend_args``.
ATOMIC = 'yolo_world_rep.atomic'


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, each written whole or not at all."""

    def put(self, obj: bytes, filepath: Union[str, os.PathLike]) -> None:
        """Write under another name, wait for the disk, then rename."""
        with atomic_path(filepath) as path, open(path, 'wb') as file:
            file.write(obj)
            file.flush()
            # Else the name may reach the disk before the content does.
            os.fsync(file.fileno())


register_backend(ATOMIC, AtomicLocalBackend, force=True)


def is_truncated(path: str) -> bool:
    """Whether a file starts as a checkpoint and ends before its end.

    torch writes checkpoints as zip archives, whose directory comes last.
    """
    with open(path, 'rb') as file:
        start = file.read(4)
    if not start:
        return True
    return start.startswith(b'PK') and not zipfile.is_zipfile(path)


def truncated_message(path: str) -> str:
    """The message about a truncated checkpoint."""
    return (f'{path} is truncated ({osp.getsize(path)} bytes): its writing '
            f'was interrupted')


def numbered_checkpoints(folder: str) -> List[str]:
    """The checkpoints of a training in a folder, the newest first."""
    found = []
    for name in os.listdir(folder) if osp.isdir(folder) else ():
        match = NUMBERED.fullmatch(name)
        if match:
            path = osp.join(folder, name)
            found.append((osp.getmtime(path), int(match[1] or 0), path))
    return [path for _, _, path in sorted(found, reverse=True)]


def checkpoint_to_resume(folder: str) -> Optional[str]:
    """The newest complete checkpoint of a work_dir, or None.

    It is the one that mmengine noted as its last. Where that is missing or
    truncated, a warning says so and the newest whole one of the others is
    taken. If all are truncated, a ``ValueError`` is raised.
    """
    candidates = numbered_checkpoints(folder)
    note = osp.join(folder, LAST)
    if osp.exists(note):
        with open(note, encoding='utf-8') as file:
            last = file.read().strip()
        # It is an absolute path, and the folder may have moved.
        moved = osp.join(folder, osp.basename(last))
        last = last if osp.exists(last) else moved
        if osp.isfile(last):
            candidates = [last] + [p for p in candidates
                                   if not osp.samefile(p, last)]
        else:
            log(f'{note} names no checkpoint that is there', logging.WARNING)
    for path in candidates:
        if not is_truncated(path):
            return path
        log(f'{truncated_message(path)}; looking for the one before',
            logging.WARNING)
    if candidates:
        raise ValueError(
            f'`resume`: {truncated_message(candidates[0])}, and there is no '
            f'other whole checkpoint in {folder}. Remove it to start anew.')
    return None


def remove_leftovers(folder: str) -> List[str]:
    """Remove what a killed process had begun to write; the removed names."""
    names = [n for n in os.listdir(folder) if LEFTOVER.fullmatch(n)]
    for name in names:
        os.unlink(osp.join(folder, name))
    return names
