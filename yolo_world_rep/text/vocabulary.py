"""Class texts: which words stand for which class."""
import logging
import os
import re
from typing import Any, List, Sequence, Tuple, Union

from yolo_world_rep.moved import moved_names

from ..utils.files import is_text, parse_json, require_regular
from ..utils.log import log
from ..utils.wording import some

_NUMBERED = re.compile(r'([0-9]{1,6})\s*[:.)=\t]\s*(\S.*)')


def tidy_names(lines: Sequence[str]) -> Tuple[List[str], str]:
    """Names as people write them, one a line, and a remark on what was else.

    Comments, commas between the names of a single line or behind each,
    quotes, and numbers from 0 or 1 are taken off, where all lines have them.
    """
    plain = [line.strip() for line in lines]
    while plain and not plain[-1]:  # empty lines at the end do not count
        plain.pop()
    names = [name for name in plain if not re.match(r'#\s', name)]
    if len(names) == 1 and ',' in names[0]:
        one = names[0]
        one = one[1:-1] if one[0] + one[-1] == '[]' else one
        names = [name.strip() for name in one.split(',') if name.strip()]
    names = [name.rstrip(', ') for name in names]
    if all(len(name) > 2 and name[0] == name[-1] in '\'"' for name in names):
        names = [name[1:-1] for name in names]
    found = [match for match in map(_NUMBERED.fullmatch, names) if match]
    numbers = [int(match[1]) for match in found]
    if len(found) == len(names) and numbers in (
            [*range(len(names))], [*range(1, len(names) + 1)]):
        names = [match[2] for match in found]
    return names, '' if names == plain else (
        f'{some(plain)} is read as {len(names)} name(s): {some(names)}. If '
        f'that is wrong, write one a line, or a list of texts in a .json file')


def load_class_texts(path: Union[str, os.PathLike]) -> List[List[str]]:
    """Read a vocabulary file.

    One of: JSON in the form of YOLO-World, a list of synonyms for each class
    (``[["person"], ["sofa", "couch"]]``), or simply one string each
    (``["person", "sofa"]``); a COCO annotation file, whose categories are
    taken in the order of the file; a ``.txt`` with one class per line, which
    :func:`tidy_names` puts right.

    Args:
        path (str | os.PathLike): The file.

    Returns:
        List[List[str]]: The synonyms of each class, at least one.

    Raises:
        ValueError: If the file cannot be read or is none of these.
    """
    path = os.fspath(path)
    name = f'class texts {path!r}'
    require_regular(path)
    try:
        # Editors on Windows put a byte order mark first.
        with open(path, encoding='utf-8-sig') as file:
            content = file.read()
    except OSError as error:
        raise ValueError(f'{name} cannot be read ({error.strerror}); give '
                         f'the path of a JSON list of class names') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{name} are not UTF-8: {error}') from None
    entries: Any
    if path.endswith('.txt'):
        # splitlines would also split at what names can have within.
        entries, remark = tidy_names(content.split('\n'))
        if remark:
            log(f'{name}: {remark}.', logging.WARNING)
        return check_class_texts(entries, name)
    try:
        entries = parse_json(content)
    except ValueError as error:
        raise ValueError(f'{name} are not valid JSON: {error}') from None
    if isinstance(entries, dict) and isinstance(
            entries.get('categories'), list):
        entries = [each.get('name') if isinstance(each, dict) else each
                   for each in entries['categories']]
    return check_class_texts(entries, name)


def check_class_texts(entries: object, name: str) -> List[List[str]]:
    """Bring class texts into the form of a list of lists of synonyms.

    Args:
        entries (object): A list with one string or one list of strings
            for each class; it is left alone.
        name (str): What to call the entries in an error.

    Raises:
        ValueError: If the entries are anything else, or there are none.
    """
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f'{name}: expected a list with one entry per class, '
                         f'got {type(entries).__name__}; write [["cat"], '
                         f'["dog", "puppy"]] or ["cat", "dog"]')
    if not entries:
        raise ValueError(f'{name}: the list is empty; name at least one class')
    texts = []
    for index, entry in enumerate(entries):
        synonyms = [entry] if isinstance(entry, str) else entry
        if (not isinstance(synonyms, (list, tuple)) or not synonyms
                or not all(isinstance(text, str) and is_text(text)
                           for text in synonyms)):
            raise ValueError(
                f'{name}: entry {index} is {repr(entry)[:200]}, expected a '
                f'string or a list of at least one string')
        texts.append(list(synonyms))
    return texts


__getattr__ = moved_names(__name__, {'class_names': 'text.class_names'})
