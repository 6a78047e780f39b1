"""COCO annotation files: read and counted."""
import json
import logging
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

from ..utils.files import PathLike, parse_json, require_regular
from ..utils.log import log
from ..utils.wording import some
from .coco_records import Mending, polygons
from .image_paths import found_names

# A folder, or what finds it by the names of the images.
Images = Union[PathLike, Callable[[List[str]], PathLike]]
MIN_SIZE = 32  # mmyolo leaves smaller images out of training
# Detections of a class in an image that count, as in COCO.
COCO_LIMIT = 100


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
                        if not box['iscrowd'])
        return {name: found[name] for name in self.names}

    @cached_property
    def share_with_masks(self) -> float:
        """Share of the boxes, crowds left out, that have a mask."""
        masks = [bool(polygons(box)) for box in self.boxes
                 if not box['iscrowd']]
        return sum(masks) / len(masks) if masks else 0.0

    @property
    def large_enough(self) -> int:
        """Number of images that training uses."""
        return sum(min(image['width'], image['height']) >= MIN_SIZE
                   for image in self.images)

    def to_json(self) -> bytes:
        """The COCO file of it."""
        # Names of files need not be Unicode; escapes keep them.
        return json.dumps(dict(
            images=self.images, annotations=self.boxes,
            categories=self.categories)).encode()

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


def read_coco(path: PathLike, images: Images,
              sizes: bool = True) -> Annotations:
    """Read a COCO file; see :func:`from_content`."""
    return from_content(read_content(path), path, images, sizes)


def from_content(content: Any, path: PathLike, images: Images,
                 sizes: bool = True) -> Annotations:
    """The content of a COCO file, written or not, put right where needed.

    ``images`` is their folder, or finds it by their names; ``sizes`` says
    whether each needs a size, as for training. A ``ValueError`` names the
    place that cannot be understood.
    """
    path = Path(path)
    parts = ('images', 'annotations', 'categories')
    lists = content if isinstance(content, dict) else {}
    missing = [part for part in parts if not isinstance(lists.get(part), list)]
    if missing:
        raise ValueError(
            f'{path} has no list {", ".join(map(repr, missing))}; expected a '
            f'COCO file of boxes, with images, annotations and categories.')
    mending = Mending(path)
    names = mending.names('categories', content['categories'], 'name')
    categories = [
        each if each['name'] == name else dict(each, name=name)
        for each, name in zip(content['categories'], names)]
    categories, category_ids = mending.numbered(
        'categories', categories, names, merge=False)
    names = mending.names('images', content['images'], 'file_name')
    folder = Path(images(names) if callable(images) else images)
    found = found_names(folder, names) if images != '' else {}
    for name, tail in found.items():
        mending.note('file name(s) are not those of the files, which were '
                     'found by the ends of their paths',
                     f'{name!r}, which is {tail!r} in {folder}')
    names = [found.get(name, name) for name in names]
    entries, image_ids = mending.images(
        [dict(each, file_name=name) if each['file_name'] in found else each
         for each, name in zip(content['images'], names)], names,
        lambda name: header_size(folder / name), sizes)
    boxes = mending.boxes(content['annotations'], entries, image_id=image_ids,
                          category_id=category_ids)
    findings = tuple(
        Finding(level, f'{count} {text}: the first is {place}.')
        for text, (level, count, place) in mending.found.items())
    return Annotations(path, folder, entries, boxes, categories, findings,
                       bool(findings))


def read_header(path: Path) -> Optional[Tuple[int, int, int]]:
    """Width, height and EXIF orientation (1: none) as stored, if readable."""
    import cv2
    from PIL import Image
    try:
        with Image.open(path) as image:
            if image.format in ('AVIF', 'GIF') and (
                    not cv2.haveImageReader(str(path))):
                return None  # an older OpenCV, which will decode it
            turn = image.getexif().get(0x0112, 1)
            return (*image.size, turn if turn in range(1, 9) else 1)
    except Exception:  # readers of broken files raise what they like
        return None


def header_size(path: Path) -> Optional[Tuple[int, int]]:
    """Width and height as a reader of pixels finds them; None: unreadable.

    A camera's rotation in the EXIF data is followed, as OpenCV does.
    """
    width, height, turn = read_header(path) or (None, None, 1)
    return width and ((height, width) if turn > 4 else (width, height))
