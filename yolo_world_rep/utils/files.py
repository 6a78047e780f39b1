"""Files that are either whole or not there."""
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Tuple, Union

PathLike = Union[str, Path]


# Of a file's name, on every usual file system.
MAX_BYTES = 255
# Endings that say something to a program; others are parts of a name.
MAX_SUFFIX = 16


def _temporary(path: Path) -> Path:
    """An empty file beside ``path``, whose name fits and says whose it is."""
    suffix = path.suffix if len(path.suffix) <= MAX_SUFFIX else ''
    room = MAX_BYTES - len(os.fsencode(f'..{"x" * 8}.tmp{suffix}'))
    name = path.name
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    handle, temporary = tempfile.mkstemp(
        prefix=f'.{name}.', suffix=f'.tmp{suffix}', dir=path.parent)
    os.close(handle)
    return Path(temporary)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a file its name, at once."""
    if not overwrite:
        try:
            os.link(temporary, path)  # in the place of nothing, only
            return
        except FileExistsError:
            raise ValueError(
                f'{path} exists: another process wrote it meanwhile. Remove '
                f'it, choose another name, or say --overwrite.') from None
        except (AttributeError, OSError):  # a system without links
            if path.exists():
                raise ValueError(f'{path} exists; remove it, choose another '
                                 f'name, or say --overwrite.') from None
    os.replace(temporary, path)


@contextmanager
def atomic_path(path: PathLike, overwrite: bool = True) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` at the end.

    When the body raises, nothing is left and an older file at ``path``
    stays as it was. A process that is killed leaves the temporary file,
    which begins with a dot and is nobody's input.

    Args:
        path (str | Path): The final name; its folder is made when missing.
        overwrite (bool): Whether a file that is there by then is replaced.
            Defaults to True.

    Yields:
        Path: The temporary name to write to.

    Raises:
        ValueError: If there is such a file, without ``overwrite``.
    """
    path = Path(path)
    made = [
        folder for folder in (path.parent, *path.parent.parents)
        if not folder.exists()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    done = False
    try:
        temporary = _temporary(path)
        try:
            yield temporary
            # mkstemp makes files that only their owner can read.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            _publish(temporary, path, overwrite)
            done = True
        finally:
            temporary.unlink(missing_ok=True)
    finally:
        if not done:
            remove_empty(made)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the deepest first, up to one that is in use."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def locked(folder: PathLike, shared: bool = False) -> Iterator[None]:
    """Keep others from replacing several files of a folder meanwhile.

    Args:
        folder (str | Path): It exists.
        shared (bool): Whether others may read meanwhile, as this one does.
            Defaults to False.
    """
    try:
        import fcntl
    except ImportError:  # a system without
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a system that opens no folders
        yield
        return
    try:
        with suppress(OSError):  # a file system without
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def identity(path: PathLike) -> Tuple[int, ...]:
    """What changes when a file is replaced."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def sha256_of_file(path: PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def about_file(path: PathLike) -> Iterator[None]:
    """Put a file's name before errors that do not have it.

    Args:
        path (str | Path): The file.

    Raises:
        ValueError: With the name.
    """
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error


def _no_key_twice(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key {twice[:80]!r} is there twice')
    return found


def parse_json(text: str, unique: bool = True) -> Any:
    """The value that a text of JSON is.

    Args:
        text (str): It.
        unique (bool): Whether a key that an object has twice is refused, of
            which readers would take the last. Defaults to True.

    Raises:
        ValueError: If it is none, or nested deeper than Python can follow.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_no_key_twice if unique else None)
    except RecursionError:
        raise ValueError('it is nested too deeply') from None


def is_text(text: str) -> bool:
    """Whether a string can be written: not of half a surrogate pair."""
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return True
