"""Class texts: which words stand for which class."""
import os
from typing import Any, List, Union

from yolo_world_rep.moved import moved_names

from ..utils.files import is_text, parse_json, require_regular


def load_class_texts(path: Union[str, os.PathLike]) -> List[List[str]]:
    """Read a vocabulary file.

    One of: JSON in the form of YOLO-World, a list of synonyms for each class
    (``[["person"], ["sofa", "couch"]]``), or simply one string each
    (``["person", "sofa"]``); a COCO annotation file, whose categories are
    taken in the order of the file; a ``.txt`` with one class per line.

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
        entries = [line.strip() for line in content.split('\n')]
        # Empty lines at the end do not count.
        while entries and not entries[-1]:
            entries.pop()
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
