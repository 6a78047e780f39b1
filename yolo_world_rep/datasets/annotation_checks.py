"""Checks of annotations.

Data sets drop what they cannot use without a word: boxes of no area, boxes
outside the image, annotations of unknown categories. Here each of these is
counted and named.
"""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from ..text.names import name_differences
from ..utils.files import sha256_of_file
from .annotations import MIN_SIZE, Annotations, Finding, header_size, listed
from .coco_records import polygons

# How far, in pixels, a box may reach over the border by rounding.
SLACK = 1.0


def _duplicates(values: Iterable[Any]) -> List[Any]:
    return [value for value, n in Counter(values).items() if n > 1]


def check_ids(data: Annotations) -> Iterator[Finding]:
    """Names that occur twice, and ids with gaps."""
    twice = _duplicates(data.names)
    if twice:
        yield Finding(
            'error', f'class names occur more than once: {listed(twice)}. '
            f'Give each category a name of its own.')
    ids = sorted(category['id'] for category in data.categories)
    if ids and ids != list(range(ids[0], ids[0] + len(ids))):
        yield Finding(
            'note', f'the ids of the {len(ids)} categories have gaps '
            f'({ids[0]} to {ids[-1]}); labels follow the order in the file, '
            f'so nothing is lost.')


def check_boxes(data: Annotations, training: bool = True
                ) -> Iterator[Finding]:
    """Boxes that are not trained on, or that cross the image's border.

    Where nothing is left of them, that is an error. ``training`` leaves out
    images that are small as well.
    """
    if not data.boxes:
        yield Finding('error', 'there is no box at all.')
        return
    images = {image['id']: image for image in data.images}
    of_box = [images[box['image_id']] for box in data.boxes]
    xywh = np.array([box['bbox'] for box in data.boxes], np.float64)
    # Evaluation needs no sizes.
    limits = np.array([(image['width'] or np.inf, image['height'] or np.inf)
                       for image in of_box], np.float64)
    low, high = xywh[:, :2], xywh[:, :2] + xywh[:, 2:]
    if xywh.max() <= 1.0 and limits.max() > 1:
        yield Finding(
            'error', f'no coordinate exceeds {xywh.max():g}: the boxes seem '
            f'to be relative to the image. COCO wants pixels.')
        return
    left, total = np.ones(len(xywh), bool), len(xywh)

    def some_of(mask: np.ndarray, what: str) -> Optional[Tuple[int, str]]:
        rows = np.flatnonzero(mask & left)
        return (len(rows), f'{len(rows)} of {total} boxes are {what}: the '
                f'first is id {data.boxes[rows[0]].get("id")} of '
                f'{of_box[rows[0]]["file_name"]}.') if len(rows) else None

    inside = np.minimum(high, limits) - np.maximum(low, 0)
    reasons = []
    for mask, what in (
            (np.array([box['iscrowd'] == 1 for box in data.boxes]),
             'crowds (iscrowd=1), which training leaves out (set it to 0)'),
            (np.array([box.get('ignore') == 1 for box in data.boxes]),
             'marked by ignore=1, and left out of training (set it to 0)'),
            (training & (limits < MIN_SIZE).any(1),
             f'in images of less than {MIN_SIZE} pixels, which training '
             f'leaves out'),
            ((xywh[:, 2:] < 1).any(1),
             'of less than a pixel in width or height, and left out of '
             'training'),
            ((inside <= 0).any(1),
             'wholly outside of the image, and left out of training (pixels '
             'are x, y, width, height; labels of YOLO are parts of 1)')):
        reasons.append(some_of(mask, what))
        left &= ~mask
    reasons = list(filter(None, reasons))
    if not left.any():
        yield Finding('error', 'no box is left: ' + ' '.join(
            text for _, text in reasons))
        return
    for count, text in reasons:
        # In COCO itself one box in a hundred is a crowd.
        few = 'crowds' in text and count * 20 < total
        yield Finding('note' if few else 'warning', text)
    over = some_of(
        ((low < -SLACK) | (high > limits + SLACK)).any(1), 'over the border '
        f'of the image by more than {SLACK:g} pixel, where training clips '
        f'them')
    if over:
        corners = ((xywh[:, 2:] > low) & (xywh[:, 2:] <= limits)).all()
        yield Finding('warning', over[1] + (
            ' All may be x1, y1, x2, y2, where COCO has x, y, width, height.'
            if corners and over[0] * 10 > total else ''))


def check_classes(data: Annotations) -> Iterator[Finding]:
    """Classes without boxes, and likely typos in names."""
    if not data.categories:
        yield Finding('error', 'the file lists no categories.')
    empty = [name for name, n in data.boxes_of_class.items() if not n]
    if empty:
        yield Finding(
            'warning', f'{len(empty)} of {len(data.names)} class(es) have no '
            f'box: {listed(empty)}.')
    if '' in data.names:
        yield Finding('warning', 'a class has an empty name.')


def check_masks(data: Annotations, needed: bool = False) -> Iterator[Finding]:
    """Whether boxes can be refined by masks, as they are if ``needed``."""
    share = data.share_with_masks
    coded = sum(bool(box.get('segmentation')) and not polygons(box)
                for box in data.boxes if not box['iscrowd'])
    if coded:
        yield Finding(
            'error' if needed else 'warning', f'{coded} of {len(data.boxes)} '
            f'masks are run lengths (RLE), which boxes cannot be refined by. '
            + ('Set use_mask2refine=False, or with_mask and mask2bbox of the '
               'pipelines.' if needed else 'They count as none.'))
    if share == 0 and not needed:
        yield Finding('note', 'no masks: boxes are taken as they are.')
    elif share < 1 and not needed:  # where CheckpointGuardHook speaks
        yield Finding(
            'warning', f'{share:.1%} of the boxes have a mask. As boxes '
            f'without one would be left out where masks are used, none is '
            f'used.')


def check_files(data: Annotations, training: bool = True
                ) -> Iterator[Finding]:
    """Images that are missing, unreadable or of another size."""
    if not data.images:
        yield Finding('error', 'the file lists no images.')
        return
    missing = [image['file_name'] for image in data.images
               if not data.path_of(image).is_file()]
    if missing:
        yield Finding(
            'error', f'{len(missing)} of {len(data.images)} image file(s) are '
            f'not in {data.images_dir}: {listed(missing)}. Give the folder '
            f'that the file names are relative to (`train_img`, `val_img`), '
            f'or take those images out of {data.path.name}.')
        return
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(header_size, map(data.path_of, data.images)))
    broken, differ, swapped = [], [], True
    for image, size in zip(data.images, sizes):
        stated = image['width'], image['height']
        if size is None:
            broken.append(image['file_name'])
        elif size != stated:
            differ.append(f'{image["file_name"]} is {size[0]}x{size[1]} and '
                          f'stated as {stated[0]}x{stated[1]}')
            swapped = swapped and size == stated[::-1]
    if broken:
        yield Finding(
            'error', f'{len(broken)} image file(s) cannot be read: '
            f'{listed(broken)}. Replace them, or take them out.')
    if differ:
        why = (' Width and height are exchanged: the images are rotated by '
               'their EXIF data, which the annotations do not follow.'
               if swapped else '')
        yield Finding(
            'warning', f'{len(differ)} image(s) have another size than the '
            f'file says, so their boxes may lie wrong: {listed(differ)}.'
            f'{why}')
    small = training * (len(data.images) - data.large_enough)
    if small:
        yield Finding(
            'note', f'{small} image(s) are smaller than {MIN_SIZE} pixels and '
            f'are left out of training.')


def check(data: Annotations, training: bool = True) -> List[Finding]:
    """All findings about one annotation file, errors first."""
    found = [*check_ids(data), *check_boxes(data, training),
             *check_classes(data), *check_masks(data),
             *check_files(data, training)]
    with_boxes = {box['image_id'] for box in data.boxes}
    bare = sum(image['id'] not in with_boxes for image in data.images)
    if bare:
        found.append(Finding(
            'note', f'{bare} image(s) have no box; they count as background.'))
    return by_level(found)


def by_level(found: Iterable[Finding]) -> List[Finding]:
    """Errors, then warnings, then notes."""
    order = 'error', 'warning', 'note'
    return sorted(found, key=lambda finding: order.index(finding.level))


def shared_images(train: Annotations, val: Annotations) -> List[str]:
    """Names of validation images that are training images, or copies of one.
    """
    paths = {train.path_of(i).resolve() for i in train.images}
    by_size: Dict[int, List[Path]] = {}
    for path in paths:
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    digest = cache(sha256_of_file)
    shared = []
    for image in val.images:
        path = val.path_of(image).resolve()
        if path in paths or path.is_file() and any(
                digest(path) == digest(other)
                for other in by_size.get(path.stat().st_size, ())):
            shared.append(image['file_name'])
    return shared


def compare(train: Annotations, val: Annotations) -> List[Finding]:
    """Contradictions between training and validation data."""
    found = []
    difference = name_differences(train.names, val.names)
    unseen = [name for name, n in val.boxes_of_class.items()
              if n and not train.boxes_of_class.get(name)]
    if difference:
        found.append(Finding(
            'error', f'{train.path.name} and {val.path.name} list other '
            f'categories: {difference}. A label is a place in that list, so '
            f'both must have the same, in the same order.'))
    elif unseen:
        found.append(Finding(
            'warning', f'class(es) that are validated and never trained: '
            f'{listed(unseen)}.'))
    return found + in_both(shared_images(train, val), val)


def in_both(shared: List[str], val: Annotations) -> List[Finding]:
    """What there is to say of images that are trained on, too."""
    return [Finding(
        'warning', f'{len(shared)} of {len(val.images)} validation image(s) '
        f'are training images as well: {listed(shared)}. What is measured on '
        f'them says nothing about other images.')] if shared else []
