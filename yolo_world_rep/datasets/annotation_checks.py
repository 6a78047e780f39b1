"""Checks of annotations.

Data sets drop what they cannot use without a word: boxes of no area, boxes
outside the image, annotations of unknown categories. Here each of these is
counted and named.
"""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List

import numpy as np

from ..text.names import name_differences
from ..utils.files import sha256_of_file
from .annotations import MIN_SIZE, Annotations, Finding, header_size, listed

# How far, in pixels, a box may reach over the border by rounding.
SLACK = 1.0


def _duplicates(values: Iterable[Any]) -> List[Any]:
    return [value for value, n in Counter(values).items() if n > 1]


def check_ids(data: Annotations) -> Iterator[Finding]:
    """Ids that occur twice, are missing, refer to nothing or have gaps."""
    for part, entries in (('images', data.images), ('annotations', data.boxes),
                          ('categories', data.categories)):
        twice = _duplicates(entry.get('id') for entry in entries)
        if twice:
            yield Finding(
                'error', f'{len(twice)} id(s) of {part} occur more than once: '
                f'{listed(twice)}. Readers keep one of them; number them '
                f'anew.')
    twice = _duplicates(data.names)
    if twice:
        yield Finding(
            'error', f'class names occur more than once: {listed(twice)}. '
            f'Give each category a name of its own.')
    twice = _duplicates(image['file_name'] for image in data.images)
    if twice:
        yield Finding(
            'warning', f'{len(twice)} file name(s) stand under more than one '
            f'image id: {listed(twice)}.')
    categories = {category['id'] for category in data.categories}
    for what, key, known in (
            ('images', 'image_id', {image['id'] for image in data.images}),
            ('categories', 'category_id', categories)):
        lost = [box[key] for box in data.boxes if box[key] not in known]
        if lost:
            yield Finding(
                'error', f'{len(lost)} annotation(s) refer to {what} that the '
                f'file does not list: {listed(dict.fromkeys(lost))}.')
    ids = sorted(categories)
    if ids and ids != list(range(ids[0], ids[0] + len(ids))):
        yield Finding(
            'note', f'the ids of the {len(ids)} categories have gaps '
            f'({ids[0]} to {ids[-1]}); labels follow the order in the file, '
            f'so nothing is lost.')


def check_boxes(data: Annotations) -> Iterator[Finding]:
    """Boxes that no data set uses, or that cross the image's border."""
    if not data.boxes:
        yield Finding('error', 'there is no box at all.')
    sizes = {image['id']: (image['width'], image['height'])
             for image in data.images}
    known = [box for box in data.boxes if box['image_id'] in sizes]
    if not known:
        return
    xywh = np.array([box['bbox'] for box in known], dtype=np.float64)
    limits = np.array([sizes[box['image_id']] for box in known], np.float64)
    low, high = xywh[:, :2], xywh[:, :2] + xywh[:, 2:]
    empty = (xywh[:, 2:] < 1).any(1)
    area = np.array([box.get('area', w * h)
                     for box, (w, h) in zip(known, xywh[:, 2:])])
    inside = np.minimum(high, limits) - np.maximum(low, 0)
    outside = ~empty & (inside <= 0).any(1)
    over = ~empty & ~outside & (
        (low < -SLACK) | (high > limits + SLACK)).any(1)
    for mask, text in (
        (empty, 'of less than a pixel in width or height, which are left '
         'out'),
        (~empty & ~(area > 0), 'whose area is not positive, which are left '
         'out'),
        (outside, 'wholly outside of the image, which are left out'),
        (over, 'that reach over the border of the image, by more than '
         f'{SLACK:g} pixel; training clips them')):
        ids = [known[row].get('id') for row in np.flatnonzero(mask)]
        if ids:
            yield Finding('warning',
                          f'{len(ids)} box(es) {text}: id {listed(ids)}.')
    largest = xywh.max()
    if largest <= 1.0 and limits.max() > 1:
        yield Finding(
            'error', f'no coordinate exceeds {largest:g}: the boxes seem to '
            f'be relative to the image. COCO wants pixels.')
    if 'area' not in known[0]:
        yield Finding(
            'error', 'annotations have no area, which mmdet asks for; set it '
            'to width times height.')


def check_classes(data: Annotations) -> Iterator[Finding]:
    """Classes without boxes, and likely typos in names."""
    if not data.categories:
        yield Finding('error', 'the file lists no categories.')
    empty = [name for name, n in data.boxes_of_class.items() if not n]
    if empty:
        yield Finding(
            'warning', f'{len(empty)} of {len(data.names)} class(es) have no '
            f'box: {listed(empty)}.')
    odd = [repr(name) for name in data.names
           if name != name.strip() or not name]
    if odd:
        yield Finding(
            'warning', f'class names begin or end with a space, or are empty: '
            f'{listed(odd)}.')


def check_masks(data: Annotations) -> Iterator[Finding]:
    """Whether boxes can be refined by masks."""
    share = data.share_with_masks
    if share == 0:
        yield Finding('note', 'no masks: boxes are taken as they are.')
    elif share < 1:
        yield Finding(
            'warning', f'{share:.1%} of the boxes have a mask. As boxes '
            f'without one would be left out where masks are used, none is '
            f'used.')


def check_files(data: Annotations) -> Iterator[Finding]:
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
    small = len(data.images) - data.large_enough
    if small:
        yield Finding(
            'note', f'{small} image(s) are smaller than {MIN_SIZE} pixels and '
            f'are left out of training.')


def check(data: Annotations) -> List[Finding]:
    """All findings about one annotation file, errors first."""
    found = [finding for look in (check_ids, check_boxes, check_classes,
                                  check_masks, check_files)
             for finding in look(data)]
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
    shared = shared_images(train, val)
    if shared:
        found.append(Finding(
            'warning', f'{len(shared)} of {len(val.images)} validation '
            f'image(s) are training images as well: {listed(shared)}. '
            f'What is measured on them says nothing about other images.'))
    return found
