"""Where the files lie that annotations of other machines name."""
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence
from urllib.parse import unquote

from ..utils.files import IMAGES


def files_below(folder: Path, endings: Sequence[str] = IMAGES) -> List[Path]:
    """Files with one of the endings, at any depth, sorted."""
    return sorted(path for path in folder.rglob('*')
                  if path.suffix.lower() in endings and path.is_file())


def _spellings(name: str) -> Iterator[str]:
    """A path as written here, with / and without escapes."""
    for text in dict.fromkeys((name, unquote(name))):
        text = text.replace('\\', '/')
        yield text
        for form in ('NFC', 'NFD'):  # of é, which systems write in two ways
            yield unicodedata.normalize(form, text)
        stem, dot, ending = text.rpartition('.')
        yield stem + dot + ending.swapcase()


def tail_below(folder: Path, name: str) -> str:
    """The longest end of a path that exists below a folder, '' if none."""
    best: List[str] = []
    for text in dict.fromkeys(_spellings(name[:4096])):
        parts = [part for part in re.sub('^[A-Za-z]:', '', text).split('/')
                 if part not in ('', '.', '..')]
        for start in range(len(parts) - len(best)):
            if exists(folder.joinpath(*parts[start:])):
                best = parts[start:]
                break
    return '/'.join(best)


def exists(path: Path) -> bool:
    """Whether a path exists; what cannot be one does not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero in it
        return False


def found_names(folder: Path, names: Iterable[str]) -> Dict[str, str]:
    """The names in a folder of files that are not there by their own.

    They are found by the ends of their paths; what fits two is left.
    """
    names = list(dict.fromkeys(names))
    lost = [name for name in names if not exists(folder / name)]
    found = {name: tail for name in lost if (tail := tail_below(folder, name))}
    taken = Counter([*set(names).difference(lost), *found.values()])
    return {name: tail for name, tail in found.items()
            if taken[tail] == 1 and (folder / tail).is_file()}
