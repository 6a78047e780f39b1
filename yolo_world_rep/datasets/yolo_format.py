"""Data sets in the format of YOLO: which label belongs to which image."""
import os
from pathlib import Path
from reprlib import repr as short  # YAML's anchors can stand for very much
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..utils.files import about_file, require_regular

IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# Files that name the classes of a YOLO data set, where it has no YAML.
NAME_FILES = ('classes.txt', 'obj.names', 'classes.names')


class Pair(NamedTuple):
    """An image and its label file, which need not exist."""
    image: Path
    label: Path


def globox() -> Any:
    """The library that parses labels; ``ImportError`` if not installed."""
    try:
        import globox
    except ImportError:
        raise ImportError(
            'Labels in the format of YOLO or VOC are read by globox, which '
            'is not installed: pip install "yolo_world_rep[data]"') from None
    return globox


def files_below(folder: Path, endings: Sequence[str]) -> List[Path]:
    """Files with one of the endings, at any depth, sorted."""
    return sorted(path for path in folder.rglob('*')
                  if path.suffix.lower() in endings and path.is_file())


def entries_of(listing: Path) -> List[str]:
    """Lines of a list of images; VOC's have a flag after the name."""
    return [line.strip() for line in lines_of(listing) if line.strip()]


def lines_of(path: Path) -> List[str]:
    """Lines of a text file; ``ValueError`` if it is not text."""
    with about_file(require_regular(path)):
        return path.read_text(encoding='utf-8-sig').split('\n')


def xywh(box: Any) -> List[float]:
    """COCO's x, y, width, height of a parsed box."""
    # The parser's corners may be exchanged; the checks want to see that.
    # Two decimals are what COCO's own files have.
    corners = box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin
    return [round(float(value), 2) for value in corners]


def read_yaml(path: Path) -> Dict[str, Any]:
    """The mapping in a YAML file; ``ValueError`` for other content."""
    import yaml
    try:
        content = yaml.safe_load('\n'.join(lines_of(path)))
    except RecursionError:
        raise ValueError(f'{path} is nested too deeply.') from None
    except (yaml.YAMLError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} is not YAML: {reason}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected a mapping with names, train and '
                         f'val, as Ultralytics has it.')
    return content


def yolo_names(where: Path) -> Tuple[str, ...]:
    """Class names from a file, or from one in a folder."""
    if where.is_dir():
        candidates = [path for path in sorted(where.glob('*.y*ml'))
                      if 'names' in read_yaml(path)]
        candidates += [where / name for name in NAME_FILES
                       if (where / name).is_file()]
        if not candidates:
            raise ValueError(
                f'{where} has no file that names the classes: expected a '
                f'YAML with names, or {", ".join(NAME_FILES)}. Pass it as '
                f'`classes`.')
        where = candidates[0]
    if where.suffix in ('.yaml', '.yml'):
        names = read_yaml(where).get('names')
        if isinstance(names, dict):
            if set(names) != set(range(len(names))):
                raise ValueError(f'{where}: the keys of names are '
                                 f'{short(list(names)[:5])}; expected 0, 1, '
                                 f'...')
            names = [names[i] for i in range(len(names))]
        # Of lists in lists the text may have no end.
        if not isinstance(names, list) or not names or not all(
                isinstance(name, (str, int, float)) for name in names):
            raise ValueError(f'{where}: names={short(names)}; expected a '
                             f'list of class names.')
        names = list(map(str, names))
    else:
        names = [line.strip() for line in lines_of(where)]
        while names and not names[-1]:
            names.pop()
    seen: Dict[str, int] = {}
    for label, name in enumerate(names):
        first = seen.setdefault(name, label)
        if not name.strip() or first != label:
            wrong = (f'the name {name[:80]!r} of class {first}'
                     if name.strip() else 'no name')
            raise ValueError(f'{where}: class {label} has {wrong}; expected a '
                             f'name of its own for each, in the order of the '
                             f'labels.')
    if not names:
        raise ValueError(f'{where} names no classes; expected one a line.')
    return tuple(names)


def label_of(image: Path) -> Path:
    """YOLO's rule: the last folder ``images`` becomes ``labels``."""
    parts = list(image.with_suffix('.txt').parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    return Path(*parts)


def _split_of_yaml(path: Path, split: str) -> List[Path]:
    """The images of a split of an Ultralytics YAML."""
    content = read_yaml(path)
    stated = content.get('path') or '.'
    if not isinstance(stated, str):
        raise ValueError(f'{path}: path={short(stated)}; expected the folder '
                         f'of the data.')
    root = path.parent / stated
    entries = content.get(split)
    entries = [entries] if isinstance(entries, str) else entries
    if not isinstance(entries, list) or not entries or not all(
            isinstance(entry, str) for entry in entries):
        raise ValueError(f'{path}: {split}={short(entries)}; expected a '
                         f'folder of images or a list of them.')
    images: List[Path] = []
    for entry in entries:
        # Exports often say ../train/images and mean train/images.
        places = [root / entry, path.parent / entry.lstrip('./')]
        place = next((p for p in places if p.exists()), places[0])
        if place.is_dir():
            images += files_below(place, IMAGES)
        elif place.is_file():
            images += _listed_images(place, place.parent)
        else:
            raise ValueError(f'{path}: {split}: {place} does not exist.')
    return [Path(os.path.abspath(image)) for image in images]


def _listed_images(listing: Path, root: Path) -> List[Path]:
    return [root / entry for entry in entries_of(listing)]


def yolo_pairs(source: Path, root: Path, images_dir: Optional[Path],
               split: str) -> List[Pair]:
    """Images and label files of a YOLO data set.

    ``source`` is a YAML, a list of images, or a folder of labels whose images
    are in ``images_dir`` (looked for where None). ``split``, ``'train'`` or
    ``'val'``, counts for a YAML.
    """
    if source.suffix in ('.yaml', '.yml'):
        return [Pair(i, label_of(i)) for i in _split_of_yaml(source, split)]
    if source.is_file():
        return [Pair(i, label_of(i)) for i in _listed_images(source, root)]
    if images_dir is None:
        images_dir = Path(*(
            'images' if part == 'labels' else part for part in source.parts))
        if not images_dir.is_dir() or images_dir == source:
            pairs = [Pair(image, image.with_suffix('.txt'))
                     for image in files_below(source, IMAGES)]
            return [pair if pair.label.is_file() else
                    Pair(pair.image, label_of(pair.image)) for pair in pairs]
    return [
        Pair(image, source / image.relative_to(images_dir).with_suffix('.txt'))
        for image in files_below(images_dir, IMAGES)]


def yolo_boxes(pair: Pair, size: Tuple[int, int],
               names: Sequence[str]) -> List[Tuple[str, List[float]]]:
    """(class name, x, y, width and height in pixels) of a label file."""
    kinds = globox().BoundingBox
    boxes = []
    for number, line in enumerate(lines_of(pair.label), 1):
        values = line.split()
        if not values:
            continue
        parse = kinds.from_yolo_seg if len(values) > 6 else kinds.from_yolo_v5
        try:
            box = parse(line, image_size=size)
            label = int(float(box.label))
        except Exception as error:  # of several kinds, none of them ours
            raise ValueError(
                f'{pair.label}:{number}: {line[:60]!r} is no box: {error} '
                f'Expected class, x, y, width, height, from 0 to 1.'
            ) from None
        if not 0 <= label < len(names):
            raise ValueError(
                f'{pair.label}:{number}: class {label}, but {len(names)} '
                f'classes are named: expected 0 to {len(names) - 1}.')
        boxes.append((names[label], xywh(box)))
    return boxes
