"""COCO annotation files: read and counted."""
import logging
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..utils.files import PathLike, parse_json, require_regular
from ..utils.log import log
from ..utils.wording import some

MIN_SIZE = 32  # mmyolo leaves smaller images out of training
# More is nothing that an image has, and overflows where it is computed with.
LIMIT = 1e9
# Detections of a class in an image that count, as in COCO.
COCO_LIMIT = 100
KINDS = {int: 'a whole number', str: 'a text'}


class Finding(NamedTuple):
    """A finding about a data set.

    ``level`` is ``'error'`` (training is impossible, or of something else than
    meant), ``'warning'`` or ``'note'``; ``text`` says what it is, how often,
    with examples, and what to do.
    """
    level: str
    text: str


@dataclass(frozen=True)
class Annotations:
    """A COCO annotation file and the folder of its images.

    ``findings`` are what reading fixed, converted or left out; ``changed``
    says that a reader of the file itself would see something else.
    """
    path: Path
    images_dir: Path
    images: List[Dict[str, Any]]
    boxes: List[Dict[str, Any]]
    categories: List[Dict[str, Any]]
    findings: Tuple[Finding, ...] = ()
    changed: bool = False

    @cached_property
    def names(self) -> Tuple[str, ...]:
        """Class names in the order of the labels."""
        return tuple(category['name'] for category in self.categories)

    @cached_property
    def boxes_of_class(self) -> Dict[str, int]:
        """Number of boxes by class name, without crowds."""
        names = {each['id']: each['name'] for each in self.categories}
        found = Counter(names.get(box['category_id']) for box in self.boxes
                        if not box.get('iscrowd'))
        return {name: found[name] for name in self.names}

    @cached_property
    def share_with_masks(self) -> float:
        """Share of the boxes, crowds left out, that have a mask."""
        masks = [bool(box.get('segmentation')) for box in self.boxes
                 if not box.get('iscrowd')]
        return sum(masks) / len(masks) if masks else 0.0

    @property
    def large_enough(self) -> int:
        """Number of images that training uses."""
        return sum(min(image['width'], image['height']) >= MIN_SIZE
                   for image in self.images)

    def path_of(self, image: Dict[str, Any]) -> Path:
        """The file of an image."""
        return self.images_dir / image['file_name']


def most_objects(boxes: Iterable[Dict[str, Any]]) -> int:
    """Objects in the image that has most of them, crowds left out."""
    counts = Counter(box['image_id'] for box in boxes
                     if not box.get('iscrowd'))
    return max(counts.values(), default=0)


def limits_for(most: int, own: int,
               given: Optional[int] = None) -> Tuple[int, int]:
    """Detections of an image that are kept, and of a class that count.

    ``most`` objects are in the fullest image, and the model keeps ``own``. Of
    more than 100 objects, as many wrong detections as right ones have room in
    both. What is ``given`` counts for both, with a warning if it is too low.
    """
    if given is None and most <= COCO_LIMIT:
        return own, COCO_LIMIT
    limit = given or max(own, 2 * most)
    if limit < most:
        log(f'An image has {most} objects, and {limit} detections are kept: '
            f'AP is of these. Give `max_detections` {2 * most}.',
            logging.WARNING)
    return limit, limit


def listed(examples: Iterable[Any]) -> str:
    """A few examples, and how many more there are."""
    return some(list(examples), 3)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(
        value, bool) and -LIMIT <= value <= LIMIT


def _id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _require(path: Path, entries: List[Any], part: str, **wanted: Any) -> None:
    """Refuse entries without what every reader of the format needs."""
    for place, entry in enumerate(entries):
        for key, kinds in wanted.items():
            value = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise ValueError(
                    f'{path}: {part}[{place}].{key}={repr(value)[:200]}; '
                    f'expected {" or ".join(KINDS[kind] for kind in kinds)}, '
                    f'as in the format of COCO.')


def read_content(path: PathLike) -> Any:
    """The content of a JSON file; ``ValueError`` if it cannot be read."""
    path = require_regular(path)
    try:
        # Training reads it so, too: of a key twice the last one counts.
        return parse_json(path.read_text(encoding='utf-8'), unique=False)
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error.strerror}.') from None
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}.') from None


def read_coco(path: PathLike, images_dir: PathLike) -> Annotations:
    """Read a COCO file of boxes; a ``ValueError`` says what is wrong where."""
    return from_content(read_content(path), path, images_dir)


def from_content(content: Any, path: PathLike, images_dir: PathLike,
                 sizes: bool = True) -> Annotations:
    """The content of a COCO file, written or not.

    ``sizes`` says whether images must state their size, as training needs.
    A ``ValueError`` names the place that is not in the format.
    """
    path = Path(path)
    parts = ('images', 'annotations', 'categories')
    lists = content if isinstance(content, dict) else {}
    missing = [part for part in parts if not isinstance(lists.get(part), list)]
    if missing:
        raise ValueError(
            f'{path} has no list {", ".join(map(repr, missing))}; expected a '
            f'COCO file of boxes, with images, annotations and categories.')
    images, boxes, categories = (content[part] for part in parts)
    # The cheap test first: it is one pass over what may be a million.
    _require(path, categories, 'categories', id=(int, ), name=(str, ))
    _require(path, images, 'images', id=(int, str), file_name=(str, ))
    for image in images:
        if sizes and not (_number(image.get('width')) and _number(
                image.get('height'))):
            raise ValueError(
                f'{path}: the image {image["file_name"]!r} has width='
                f'{image.get("width")!r} and height='
                f'{image.get("height")!r}; expected its size in pixels.')
    for place, box in enumerate(boxes):
        corners = box.get('bbox') if isinstance(box, dict) else None
        if (not isinstance(corners, list) or len(corners) != 4
                or not all(map(_number, corners))
                or not _number(box.get('area', 0))
                or not _id(box.get('image_id'))
                or not _id(box.get('category_id'))
                or not _id(box.get('id', 0))):
            raise ValueError(
                f'{path}: annotations[{place}] (id '
                f'{box.get("id") if isinstance(box, dict) else None}) has '
                f'bbox={repr(corners)[:200]}; expected four finite numbers '
                f'x, y, width, height, with image_id and category_id, and '
                f'area a number, id a whole number or a text.')
    return Annotations(path, Path(images_dir), images, boxes, categories)


def header_size(path: Path) -> Optional[Tuple[int, int]]:
    """Width and height as a reader of pixels finds them; None: unreadable.

    A camera's rotation in the EXIF data is followed, as OpenCV does.
    """
    from PIL import Image
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception:  # readers of broken files raise what they like
        return None
    return (height, width) if turned else (width, height)
