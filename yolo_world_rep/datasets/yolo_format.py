"""Data sets in the format of YOLO: which label belongs to which image."""
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from reprlib import repr as short  # YAML's anchors can stand for very much
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..text.vocabulary import tidy_names
from ..utils.files import about_file, require_regular
from .image_paths import IMAGES, exists, files_below, tail_below

# Files that name the classes of a YOLO data set, where it has no YAML.
NAME_FILES = ('classes.txt', 'obj.names', 'classes.names')
YAML = ('.yaml', '.yml')
#: Whether a file begins as labels do.
LABEL = re.compile(rb'\s*[\d.]+(\s+[\d.eE+-]+){4}').match
ABSENT = ('', '~', 'null', 'Null', 'NULL')  # as YAML writes nothing
# Of coordinates that are parts of the image, with what reaches over it.
LARGEST = 1.5
MOVED = 'path(s) are not there and were found by their ends'
#: What was noticed, and the places of it: ``Noticed(list)``.
Noticed = defaultdict


class Pair(NamedTuple):
    """An image and its label file, which need not exist."""
    image: Path
    label: Path


class Box(NamedTuple):
    """A class name, x and y of two corners, and of a polygon's points."""
    name: str
    corners: Tuple[float, ...]
    polygon: Tuple[float, ...] = ()


class Labels(NamedTuple):
    """The boxes of an image, in pixels or ``relative`` to its size."""
    boxes: List[Box]
    relative: bool
    size: Optional[Tuple[int, int]] = None  # as stated


def entries_of(listing: Path) -> List[str]:
    """Lines of a list of images; VOC's have a flag after the name."""
    return [line.strip() for line in lines_of(listing) if line.strip()]


def lines_of(path: Path) -> List[str]:
    """Lines of a text file; ``ValueError`` if it is not text."""
    with about_file(require_regular(path)):
        return path.read_text(encoding='utf-8-sig').split('\n')


def read_yaml(path: Path) -> Dict[str, Any]:
    """The mapping in a YAML file; ``ValueError`` for other content.

    All values are texts, so that a class can be called no, 007 or 1.0.
    """
    import yaml

    class Texts(yaml.BaseLoader):

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep)
            if len(found) < len(node.value):
                raise ValueError(f'a key is there twice{node.start_mark}')
            return found

    try:
        content = yaml.load('\n'.join(lines_of(path)), Texts)
    except RecursionError:
        raise ValueError(f'{path} is nested too deeply.') from None
    except (yaml.YAMLError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} is not YAML: {reason}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected a mapping with names, train and '
                         f'val, as Ultralytics has it.')
    return {key: value for key, value in content.items()
            if value not in ABSENT}


def names_file(where: Path) -> Path:
    """The file that names the classes: the one given, or one in a folder."""
    if not where.is_dir():
        return where
    found = [path for path in sorted(where.glob('*.y*ml'))
             if 'names' in read_yaml(path)]
    found += [where / name for name in NAME_FILES if (where / name).is_file()]
    if not found:
        raise ValueError(
            f'{where} has no file that names the classes: expected a '
            f'YAML with names, or {", ".join(NAME_FILES)}. Pass it as '
            f'`classes`.')
    return found[0]


def yolo_names(where: Path, noticed: Noticed) -> Tuple[str, ...]:
    """The class names in a file."""
    if where.suffix in YAML:
        names = _names_of_yaml(where)
    else:
        names, remark = tidy_names(lines_of(where))
        if remark:
            noticed[f'file(s) of names: {remark}'].append(where.name)
    seen: Dict[str, int] = {}
    for label, name in enumerate(names):
        first = seen.setdefault(name, label)
        if not name or first != label:
            wrong = (f'the name {name[:80]!r} of class {first}'
                     if name else 'no name')
            raise ValueError(f'{where}: class {label} has {wrong}; expected a '
                             f'name of its own for each, in the order of the '
                             f'labels.')
    if not names:
        raise ValueError(f'{where} names no classes; expected one a line.')
    return tuple(names)


def _names_of_yaml(path: Path) -> List[str]:
    content = read_yaml(path)
    names = content.get('names')
    if isinstance(names, dict):
        by_label = {int(key): name for key, name in names.items()
                    if key.isdecimal() and len(key) < 9}
        if set(by_label) != set(range(len(names))):
            raise ValueError(f'{path}: the keys of names are '
                             f'{short(list(names)[:5])}; expected 0, 1, '
                             f'...')
        names = [by_label[i] for i in range(len(names))]
    # Of lists in lists the text may have no end.
    if not isinstance(names, list) or not names or not all(
            isinstance(name, str) for name in names):
        raise ValueError(f'{path}: names={short(names)}; expected a '
                         f'list of class names, [cat, dog].')
    if content.get('nc', str(len(names))) != str(len(names)):
        raise ValueError(f'{path}: nc is {short(content["nc"])}, and names '
                         f'has {len(names)}: expected a name for each class.')
    return [' '.join(name.split()) for name in names]


def label_of(image: Path) -> Path:
    """YOLO's rule: the last folder ``images`` becomes ``labels``."""
    parts = list(image.with_suffix('.txt').parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    return Path(*parts)


def key_point_numbers(names: Path) -> int:
    """The numbers behind each box that are its key points, by the YAML."""
    shape = read_yaml(names).get('kpt_shape') if names.suffix in YAML else ()
    if not shape:
        return 0
    try:
        count, each = map(int, shape)
    except (TypeError, ValueError):
        count = each = 0
    if count < 1 or each not in (2, 3):
        raise ValueError(f'{names}: kpt_shape={short(shape)}; expected the '
                         f'number of key points and 2 or 3, [17, 3].')
    return count * each


def _split_of_yaml(path: Path, split: str, noticed: Noticed) -> List[Path]:
    """The images of a split of an Ultralytics YAML."""
    content = read_yaml(path)
    stated, entries = content.get('path', '.'), content.get(split)
    if not isinstance(stated, str):
        raise ValueError(f'{path}: path={short(stated)}; expected the folder '
                         f'of the data.')
    entries = [entries] if isinstance(entries, str) else entries
    if not isinstance(entries, list) or not entries or not all(
            isinstance(entry, str) for entry in entries):
        raise ValueError(f'{path}: {split}={short(entries)}; expected a '
                         f'folder of images or a list of them.')
    images: List[Path] = []
    for entry in entries:
        place = path.parent / stated / entry
        if not exists(place):
            # Exports often say ../train/images and mean train/images, or name
            # folders of another machine.
            tail = tail_below(path.parent, f'{stated}/{entry}')
            if not tail:
                raise ValueError(f'{path}: {split}: {place} does not exist.')
            place = path.parent / tail
            if not entry.startswith('../'):
                noticed[MOVED].append(f'{entry!r} is {tail}')
        images += files_below(place) if place.is_dir() else listed_images(
            place, place.parent, noticed)
    return [Path(os.path.abspath(image)) for image in images]


def listed_images(listing: Path, root: Path, noticed: Noticed) -> List[Path]:
    """The images in a list, which may be of another machine."""
    images = []
    for entry in entries_of(listing):
        image = root / entry
        if not exists(image) and (tail := tail_below(root, entry)):
            noticed[MOVED].append(f'{entry!r} is {tail}')
            image = root / tail
        images.append(image)
    return images


def _pair_of(image: Path) -> Pair:
    """An image and its label, by YOLO's rule or else beside it."""
    usual, beside = label_of(image), image.with_suffix('.txt')
    return Pair(image, usual if usual.is_file() or not beside.is_file()
                else beside)


def yolo_pairs(source: Path, root: Path, images_dir: Optional[Path],
               split: str, noticed: Noticed) -> List[Pair]:
    """Images and label files of a YOLO data set.

    ``source`` is a YAML, a list of images, or a folder of labels whose images
    are in ``images_dir`` (looked for where None). ``split``, ``'train'`` or
    ``'val'``, counts for a YAML.
    """
    if source.is_file():
        images = (_split_of_yaml(source, split, noticed) if
                  source.suffix in YAML else listed_images(
                      source, root, noticed))
        for image, count in Counter(images).items():
            if count > 1:
                noticed['image(s) are listed more than once and taken '
                        'once'].append(image.name)
        return list(map(_pair_of, dict.fromkeys(images)))
    if images_dir is None:
        images_dir = Path(*(
            'images' if part == 'labels' else part for part in source.parts))
        if not images_dir.is_dir() or images_dir == source:
            return list(map(_pair_of, files_below(source)))
    return [
        Pair(image, source / image.relative_to(images_dir).with_suffix('.txt'))
        for image in files_below(images_dir)]


def notice_labels_alone(pairs: Sequence[Pair], noticed: Noticed) -> None:
    """Label files whose image is missing, or of a kind that is not read."""
    known = {pair.label for pair in pairs}
    for folder, images in {
            pair.label.parent: pair.image.parent for pair in pairs}.items():
        files = {path.stem: path for path in images.glob('*')
                 if path.suffix.lower() not in ('.txt', '.xml', '.json')}
        for label in sorted(folder.glob('*.txt')):
            image = files.get(label.stem, label)
            if label not in known and label.name not in NAME_FILES and (
                    image.suffix.lower() not in IMAGES
                    and LABEL(label.read_bytes())):
                noticed['label file(s) have no image of an ending that is '
                        'read'].append(image.name)


def _values_of(line: str, key_points: int,
               notice: Callable[[str], None]) -> List[float]:
    """The class and the coordinates in a line of a label file."""
    label, *values = map(float, line.split())
    count = len(values)
    if key_points and count == 4 + key_points or (
            not key_points and count == 5 and 0 <= values[4] <= 1):
        notice('line(s) have key points or a score behind the box, which are '
               'left out')
        values = values[:4]
    elif count == 8:
        notice('line(s) have the four corners of an oriented box or polygon, '
               'of which the upright box around them is read')
    if len(values) < 4 or len(values) % 2 or key_points and len(values) > 4:
        raise ValueError(
            f'{count} numbers behind the class. Expected x, y, width and '
            f'height, or the points of a polygon, two numbers each; key '
            f'points need their kpt_shape in the YAML.')
    far = [value for value in values if not abs(value) <= LARGEST]
    if far:
        raise ValueError(
            f'{far[0]:g} is no part of 1. Are these pixels? Divide x and '
            f'width by the width of the image, y and height by its height.')
    return [label, *values]


def yolo_labels(path: Path, names: Sequence[str], key_points: int,
                noticed: Noticed) -> Optional[Labels]:
    """The boxes of a label file, None if there is none.

    ``key_points`` are the numbers behind each box that are not part of it.
    """
    if not path.is_file():
        return None
    boxes: Dict[Box, None] = {}
    for number, line in enumerate(lines_of(path), 1):
        place = f'{path.name}:{number}'
        if not line.strip():
            continue
        try:
            label, *values = _values_of(
                line, key_points,
                lambda what, place=place: noticed[what].append(place))
        except (ValueError, OverflowError) as error:
            raise ValueError(f'{path}:{number}: {line[:60]!r} is no box: '
                             f'{error}') from None
        if label % 1 or not 0 <= label < len(names):  # nor NaN
            raise ValueError(
                f'{path}:{number}: class {label:g}, but {len(names)} '
                f'classes are named: expected 0 to {len(names) - 1}.')
        xs, ys, polygon = values[::2], values[1::2], tuple(values)
        if len(values) == 4:
            (x, w), (y, h), polygon = xs, ys, ()
            xs, ys = [x - w / 2, x + w / 2], [y - h / 2, y + h / 2]
            corners = xs[0], ys[0], xs[1], ys[1]
        else:
            corners = min(xs), min(ys), max(xs), max(ys)
        box = Box(names[int(label)], corners, polygon)
        if box in boxes:
            noticed['line(s) give a box a second time, which is left '
                    'out'].append(place)
        boxes[box] = None
    return Labels(list(boxes), True)
