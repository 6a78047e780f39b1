"""Files that are either whole or not there."""
import errno
import hashlib
import json
import os
import secrets
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Tuple, Union

PathLike = Union[str, Path]
# Endings of the images that are looked for in folders.
IMAGES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.webp', '.tif',
          '.tiff', '.ppm', '.pgm', '.pbm', '.jp2', '.avif', '.gif')
# Of a file's name, on every usual file system.
MAX_BYTES = 255
# Endings that say something to a program; others are parts of a name.
MAX_SUFFIX = 16


def require_regular(path: PathLike) -> Path:
    """The path of a file that may be opened; each that is read goes by here.

    Pipes and devices may never end. What is not there passes.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # the latter of a name with a zero in it
        return Path(path)
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return Path(path)
    kind = 'pipe' if stat.S_ISFIFO(mode) else (
        'socket' if stat.S_ISSOCK(mode) else 'device')
    raise ValueError(f'{path} is a {kind}, which may never end; expected a '
                     f'file.')


def require_new(path: PathLike, overwrite: bool = False, place: str = '`out`',
                meanwhile: bool = False) -> Path:
    """The path of a result; ``ValueError`` if it exists and stays.

    ``place`` is what the message says to change, ``meanwhile`` that there was
    no such file when the work began.
    """
    if os.path.lexists(path) and not overwrite:
        why = ': another process wrote it meanwhile' if meanwhile else ''
        raise ValueError(f'{path} exists{why}; remove it, choose another '
                         f'{place}, or pass `overwrite=True`.')
    return Path(path)


def require_room(path: PathLike) -> None:
    """``OSError`` if a file or folder of this name cannot be made."""
    folder = next(folder for folder in Path(os.path.abspath(path)).parents
                  if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f'{path}: {folder} is no folder that can be written to')


@contextmanager
def writing(place: PathLike) -> Iterator[None]:
    """Name the file that was not written, where a system only says why."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, 'EDQUOT', None))
        about = str(error.filename or '.tmp')
        if error.errno is None or not (full or '.tmp' in about):
            raise  # it has its words, or is of another file
        raise OSError(
            f'{error.strerror}: {place} was not written.' +
            (' Make room there, or choose another place.' if full else '')
        ) from error


def _temporary(path: Path) -> Path:
    """An empty file beside ``path``, whose name fits and says whose it is."""
    suffix = path.suffix if len(path.suffix) <= MAX_SUFFIX else ''
    room = MAX_BYTES - len(os.fsencode(f'..{"x" * 8}.tmp{suffix}'))
    name = path.name
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    while True:
        temporary = path.with_name(
            f'.{name}.{secrets.token_hex(4)}.tmp{suffix}')
        with suppress(FileExistsError):
            # Unlike mkstemp this leaves to the umask who may read it.
            temporary.touch(exist_ok=False)
            return temporary


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a file its name, at once."""
    if not overwrite:
        try:
            os.link(temporary, path)  # in the place of nothing, only
            return
        except (AttributeError, OSError):  # there by now, or without links
            require_new(path, place='name', meanwhile=True)
    os.replace(temporary, path)


@contextmanager
def _made_folder(path: Path) -> Iterator[None]:
    """The folder of a file, removed again if nothing comes of it."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield
    except BaseException:
        remove_empty(made)
        raise


@contextmanager
def atomic_path(path: PathLike, overwrite: bool = True) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` at the end.

    When the body raises, nothing is left and an older file stays as it was. A
    process that is killed leaves the temporary file, which begins with a dot
    and is nobody's input.
    """
    path = Path(path)
    with _made_folder(path):
        temporary = _temporary(path)
        try:
            yield temporary
            _publish(temporary, path, overwrite)
        finally:
            temporary.unlink(missing_ok=True)


def write_together(files: Mapping[Any, bytes]) -> None:
    """Write several files, all or none; the last one gets its name first."""
    with ExitStack() as stack:
        for path, data in files.items():
            stack.enter_context(atomic_path(path)).write_bytes(data)


@contextmanager
def workshop(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, removed at the end."""
    with _made_folder(path), tempfile.TemporaryDirectory(
            dir=path.parent, prefix='.export.', suffix='.tmp') as name:
        yield Path(name)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the deepest first, up to one that is in use."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def locked(folder: PathLike, shared: bool = False) -> Iterator[None]:
    """Keep others from replacing files of a folder; shared, they may read."""
    try:
        import fcntl
        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, PermissionError):  # a system that locks no folders
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
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def about_file(path: PathLike) -> Iterator[None]:
    """Put a file's name before a ``ValueError`` that does not have it."""
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
    """The value of a JSON text, in which no key may be twice if ``unique``."""
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
