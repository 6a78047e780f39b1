"""The records of COCO files, as trainer and evaluation should take them.

Each of them takes, drops and misreads other records without a word. Here what
can be understood is put right and counted, and the rest is refused with its
place. The records that come in stay as they are.
"""
from pathlib import Path
from typing import Any, Callable, Dict, List, NoReturn, Optional, Set, Tuple

import numpy as np

Record = Dict[str, Any]
Ids = Dict[str, int]
Polygons = List[List[float]]
# More is nothing that an image has, and overflows where it is computed with.
LIMIT = 1e9
LARGEST_ID = 2**53  # that readers of JSON agree on
FLAGS = {'': 0, '0': 0, 'false': 0, '1': 1, 'true': 1}


def _number(value: Any) -> Optional[float]:
    """A finite number, or what the text of one says, or None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if known and -LIMIT <= value <= LIMIT else None


def _flag(value: Any) -> Optional[int]:
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower())
    return 0 if value is None else int(value) if value in (0, 1) else None


def _key(identity: Any) -> Optional[str]:
    """What ids that mean the same have in common: 1, 1.0 and '1'."""
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    if isinstance(identity, bool) or not isinstance(identity, (int, str)):
        return None
    return str(identity).strip() or None


def _whole(identity: Any, least: int = 0) -> bool:
    return type(identity) is int and least <= identity < LARGEST_ID


def _polygon(points: Any) -> Optional[List[float]]:
    """x1, y1, x2, y2, x3, y3 and so on, of numbers, texts or pairs."""
    if (isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0
            and set(map(type, points)) <= {int, float}
            and -LIMIT <= min(points) and max(points) <= LIMIT
            and sum(points) == sum(points)):  # which NaN is not
        return points
    try:
        array = np.array(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if array.ndim == 2 and array.shape[1] == 2:
        array = array.ravel()
    whole = array.ndim == 1 and array.size >= 6 and array.size % 2 == 0
    return array.tolist() if whole and (abs(array) <= LIMIT).all() else None


def polygons(box: Record) -> Polygons:
    """The mask of a box that training reads: polygons, no run lengths."""
    mask = box.get('segmentation')
    return mask if isinstance(mask, list) else []


class Mending:
    """Reads the records of the file ``path`` and counts what it puts right.

    ``found`` has the level, count and first place of each sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: Dict[str, List[Any]] = {}

    def note(self, text: str, place: str, level: str = 'warning') -> None:
        self.found.setdefault(text, [level, 0, place])[1] += 1

    def refuse(self, place: str, record: Any, key: str,
               wanted: str) -> NoReturn:
        value = record.get(key) if isinstance(record, dict) else record
        raise ValueError(
            f'{self.path}: {place} has {key}={repr(value)[:200]}; expected '
            f'{wanted}, as in the format of COCO.')

    def names(self, part: str, entries: List[Any], key: str) -> List[str]:
        """The name of each entry, a text without spaces around it."""
        for place, entry in enumerate(entries):
            name = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(name, str) or name == '' and part == 'images':
                self.refuse(f'{part}[{place}]', entry, key, 'a text')
            if key == 'name' and name != name.strip():
                self.note('name(s) of categories have spaces around them, '
                          'which go', f'{part}[{place}], {name!r}')
        return [entry[key].strip() if key == 'name' else entry[key]
                for entry in entries]

    def numbered(self, part: str, entries: List[Record], names: List[str],
                 merge: bool) -> Tuple[List[Record], Ids]:
        """Entries with a whole number each, and these by the key of an id.

        Those of one name and several ids become one if ``merge``.
        """
        kept: List[int] = []
        rows: Ids = {}  # places in ``kept``
        first: Dict[str, int] = {}
        odd = False
        for place, entry in enumerate(entries):
            where, name = f'{part}[{place}]', names[place]
            key = _key(entry.get('id'))
            row = rows.get(key or '', first.get(name) if merge else None)
            if row is not None and names[kept[row]] != name:
                raise ValueError(
                    f'{self.path}: {where} has id={entry["id"]!r}, which '
                    f'{names[kept[row]]!r} has as well, so it is not known '
                    f'whose annotations refer to it. Give each of the {part} '
                    f'an id of its own.')
            if row is not None:
                self.note(f'of {part} are listed before, and taken as one '
                          f'with their annotations', f'{where}, {name}')
            else:
                row = first[name] = len(kept)
                kept.append(place)
                if not _whole(entry.get('id')):
                    odd = True
                    self.note(f'of {part} have no whole number as their id, '
                              f'so that all are numbered anew', where)
            if key is not None:
                rows[key] = row
        found = [dict(entries[place], id=row + 1) if odd else entries[place]
                 for row, place in enumerate(kept)]
        return found, {key: found[row]['id'] for key, row in rows.items()}

    def images(self, entries: List[Record], names: List[str],
               size_of: Callable[[str], Optional[Tuple[int, int]]],
               sizes: bool) -> Tuple[List[Record], Ids]:
        """The images, and their ids by key; each has a size if ``sizes``."""
        kept = []
        for place, (entry, name) in enumerate(zip(entries, names)):
            stated = entry.get('width'), entry.get('height')
            size: Any = tuple(map(_number, stated))
            if any(side is None or side <= 0 for side in size):
                size = size_of(name)
                if size is None and sizes:
                    raise ValueError(
                        f'{self.path}: the image {name!r} has width='
                        f'{stated[0]!r} and height={stated[1]!r}, and cannot '
                        f'be read itself; expected its size in pixels.')
            if size and size != stated:
                self.note('of images state no size in numbers, which is then '
                          'their own', f'images[{place}], {name}',
                          'warning' if sizes else 'note')
            width, height = size or (None, None)
            kept.append(entry if size == stated else
                        dict(entry, width=width, height=height))
        return self.numbered('images', kept, names, merge=True)

    def boxes(self, entries: List[Any], images: List[Record],
              **ids: Ids) -> List[Record]:
        """The annotations; ``ids`` are those of images and categories."""
        names = {image['id']: image['file_name'] for image in images}
        merged = len(ids['image_id']) > len(images)
        kept: List[Record] = []
        seen: Set[Tuple] = set()
        bare: List[Record] = []
        for place, entry in enumerate(entries):
            where = f'annotations[{place}]'
            if not isinstance(entry, dict):
                self.refuse(where, entry, 'bbox', 'a box')
            box = dict(entry)
            for key, known in ids.items():
                identity = _key(entry.get(key))
                if identity not in known:
                    self.refuse(where, entry, key, 'an id that is listed')
                box[key] = known[identity]
                if type(entry[key]) is not int:
                    self.note(f'annotation(s) have no whole number as '
                              f'{key}', where, 'note')
            where += f' of {names[box["image_id"]]}'
            self._geometry(box, where)
            for key in {'iscrowd', *entry} & {'iscrowd', 'ignore'}:
                box[key] = _flag(entry.get(key))
                if box[key] is None:
                    self.refuse(where, entry, key, '0, 1 or nothing')
                if type(entry.get(key)) is not int:
                    self.note(f'annotation(s) have no number {key}, which is '
                              f'then {box[key]}', where, 'note')
            same = (merged or _key(box.get('id')) or place, box['image_id'],
                    box['category_id'], *box['bbox'])
            if same in seen:
                self.note('annotation(s) are listed before, and taken as one',
                          where)
                continue
            seen.add(same)
            kept.append(box)
            if self._mask(box, where):
                bare.append(box)
        plain = [box for box in kept if not box['iscrowd']]
        bare = [box for box in bare if not box['iscrowd']]
        masked = sum(bool(polygons(box)) for box in plain)
        if len(bare) <= masked == len(plain) - len(bare):
            # Refined by these they stay; without, all would do without masks.
            for box in bare:
                x, y, w, h = box['bbox']
                box['segmentation'] = [
                    [x, y, x + w, y, x + w, y + h, x, y + h]]
        return self._with_ids(kept)

    def _geometry(self, box: Record, where: str) -> None:
        """Four numbers and the area."""
        corners = box.get('bbox')
        four = isinstance(corners, (list, tuple)) and len(corners) == 4
        numbers: List[Any] = [_number(n) for n in corners] if four else [None]
        if None in numbers:
            self.refuse(where, box, 'bbox',
                        'four finite numbers x, y, width, height')
        if numbers != corners:
            self.note('annotation(s) have texts in their bbox, which are read '
                      'as numbers', where)
            box['bbox'] = numbers
        stated, (width, height) = box.get('area'), numbers[2:]
        area = _number(stated)
        if area is None or area <= 0 < min(width, height):
            area = width * height
        if area != stated:
            self.note('annotation(s) have no positive number as their area, '
                      'which is then that of the box', where,
                      'note' if stated is None else 'warning')
            box['area'] = area

    def _mask(self, box: Record, where: str) -> bool:
        """Put a mask right; whether one is taken out that is none."""
        mask = box.get('segmentation')
        if isinstance(mask, dict) or not mask:
            return False
        if not isinstance(mask, list):
            self.refuse(where, box, 'segmentation',
                        'a list of polygons [[x1, y1, x2, y2, x3, y3, ...], '
                        '...] or run lengths')
        parts = [part for part in mask if part != []]
        if parts and not (isinstance(parts[0], list) and len(parts[0]) > 2):
            points = _polygon(parts)  # of one polygon, in numbers or pairs
            parts = parts if points is None else [points]
        good = [p for p in map(_polygon, parts) if p is not None]
        for low, side, axis in zip(box['bbox'], box['bbox'][2:], (0, 1)):
            values = [value for p in good for value in p[axis::2]] or [low]
            least, most = min(values), max(values)
            if (most - least < min(1, side) or least > low + side
                    or most < low):
                good = []
        if len(good) < len(parts):
            self.note('annotation(s) have a polygon of fewer than three '
                      'points, of an odd number of coordinates, of no size or '
                      'apart from the box, which is taken for it', where)
        elif good != mask:
            self.note('annotation(s) have a mask that is no list of polygons '
                      'of numbers, and read as one', where)
        box['segmentation'] = good
        return len(parts) > 0 and not good

    def _with_ids(self, boxes: List[Record]) -> List[Record]:
        """Ids that pycocotools can match by: from 1, each once."""
        seen: Set[int] = set()
        for row, box in enumerate(boxes):
            identity = box.get('id')
            if _whole(identity, 1) and identity not in seen:
                seen.add(identity)
            else:
                self.note('annotation(s) have no whole number above 0 that is '
                          'theirs alone as their id, so that all are numbered '
                          'anew', f'annotations[{row}], id={identity!r}')
        if len(seen) == len(boxes):
            return boxes
        return [dict(box, id=row) for row, box in enumerate(boxes, 1)]
