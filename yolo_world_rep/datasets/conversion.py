"""Boxes in the formats of YOLO and Pascal VOC, as COCO has them."""
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..utils.files import PathLike, about_file
from . import voc_format
from . import yolo_format as labels
from .annotations import (
    Annotations,
    Finding,
    from_content,
    listed,
    read_header,
)
from .image_paths import IMAGES

YOLO, VOC = 'yolo', 'voc'
# How boxes lie in images that EXIF turns: as those are shown, or as stored.
EXIF = ('shown', 'stored')


class Source(NamedTuple):
    """The source of the labels of a split.

    ``images`` is the folder of its images, looked for where None; ``key``
    the split's name in a YAML, where that is another.
    """
    path: Path
    images: Optional[Path] = None
    key: str = ''


def format_of(source: Path) -> Optional[str]:
    """``'yolo'`` or ``'voc'``, or None for a COCO file."""
    if source.is_dir():
        return VOC if next(source.rglob('*.xml'), None) else YOLO
    if source.suffix in labels.YAML:
        return YOLO
    if source.suffix == '.txt':
        entry = next(iter(labels.entries_of(source)), '')
        return YOLO if entry.lower().endswith(IMAGES) else VOC
    return None


def _entry(box: labels.Box, scale: Tuple[float, float], turn: int,
           size: Tuple[int, int]) -> Dict[str, Any]:
    """COCO's box and mask, in an image of ``size`` as EXIF has it shown."""
    def placed(points: Tuple[float, ...]) -> List[float]:
        found = []
        for x, y in zip(points[::2], points[1::2]):
            x, y = x * scale[0], y * scale[1]
            x, y = (y, x) if turn > 4 else (x, y)
            found += [size[0] - x if turn in (2, 3, 6, 7) else x,
                      size[1] - y if turn in (3, 4, 7, 8) else y]
        return found

    left, top, right, bottom = placed(box.corners)
    if turn > 1:
        left, right, top, bottom = (
            *sorted((left, right)), *sorted((top, bottom)))
    # Corners may be exchanged; the checks want to see that. Two decimals are
    # what COCO's own files have.
    sides = [round(value, 2) for value in (right - left, bottom - top)]
    entry = dict(bbox=[round(left, 2), round(top, 2), *sides],
                 area=round(sides[0] * sides[1], 2), iscrowd=0)
    if box.polygon:
        entry['segmentation'] = [
            [round(value, 2) for value in placed(box.polygon)]]
    return entry


def to_coco(labelled: Mapping[Path, Optional[labels.Labels]],
            names: Tuple[str, ...], noticed: labels.Noticed, path: Path,
            exif: str) -> Annotations:
    """Annotations, with ids, of images and their labels, None without a file.

    ``names`` are in the order of the labels; ``exif`` is one of :data:`EXIF`.
    """
    if not labelled:
        raise ValueError('There are no images.')
    folder = Path(os.path.commonpath([image.parent for image in labelled]))
    ids = {name: number for number, name in enumerate(names, 1)}
    images, annotations = [], []
    for number, (image, found) in enumerate(labelled.items(), 1):
        header = read_header(image)
        if header is None:
            raise ValueError(f'{image} does not exist or is not an image '
                             f'that can be read.')
        *stored, turn = header
        size = stored[::-1] if turn > 4 else stored
        images.append(dict(id=number, file_name=str(image.relative_to(folder)),
                           width=size[0], height=size[1]))
        if found is None:
            noticed['image(s) have no label file and count as '
                    'background'].append(image.name)
            continue
        if turn > 1 and found.boxes:
            noticed[f'labelled image(s) are turned by EXIF data, and their '
                    f'boxes read as drawn on what is {exif} (`exif` '
                    f'{EXIF[exif == EXIF[0]]} reads the other way)'].append(
                        image.name)
        drawn = stored if exif == 'stored' else size
        if found.size and list(found.size) != list(drawn):
            noticed['image(s) have another size than their labels say, so '
                    'boxes may lie wrong'].append(image.name)
        annotations += [
            dict(id=len(annotations) + place, image_id=number,
                 category_id=ids[box.name], **_entry(
                     box, drawn if found.relative else (1, 1),
                     turn if exif == 'stored' else 1, size))
            for place, box in enumerate(found.boxes, 1)]
    data = from_content(dict(
        images=images, annotations=annotations,
        categories=[dict(id=number, name=name) for name, number in ids.items()]
    ), path, folder)
    return replace(data, changed=True, findings=(*data.findings, *(
        Finding('warning', f'{len(places)} {what}: {listed(places)}.')
        for what, places in noticed.items())))


def convert(sources: Mapping[str, Tuple], root: PathLike,
            classes: Optional[PathLike] = None,
            exif: str = EXIF[0]) -> Dict[str, Annotations]:
    """The splits of a YOLO or VOC data set, with the same classes.

    ``sources`` gives a :class:`Source` for each split; what was noticed is
    among the findings. ``classes`` is the file
    that names the classes: by default one found in ``root``; for VOC all names
    that occur, sorted. ``exif`` says how labels lie in images that EXIF turns.
    """
    root = Path(os.path.abspath(root))
    parts = {split: Source(*each) for split, each in sources.items()}
    kinds = {split: format_of(part.path) for split, part in parts.items()}
    if len(set(kinds.values())) != 1:
        raise ValueError(f'The splits have other formats: {kinds}.')
    noticed = {split: labels.Noticed(list) for split in parts}
    first, *_ = noticed.values()
    if next(iter(kinds.values())) == YOLO:
        yaml_file = next((part.path for part in parts.values()
                          if part.path.suffix in labels.YAML), None)
        file = labels.names_file(Path(classes or yaml_file or root))
        names = labels.yolo_names(file, first)
        points = labels.key_point_numbers(yaml_file or file)
        read = {}
        for split, part in parts.items():
            said = noticed[split]
            pairs = labels.yolo_pairs(part.path, root, part.images,
                                      part.key or split, said)
            read[split] = {
                pair.image: labels.yolo_labels(pair.label, names, points, said)
                for pair in pairs}
            labels.notice_labels_alone(pairs, said)
    else:
        read = {
            split: {pair.image: voc_format.read_voc(pair.label)
                    for pair in voc_format.voc_pairs(
                        part.path, root, part.images, noticed[split])}
            for split, part in parts.items()}
        occurring = {box.name for each in read.values()
                     for found in each.values() for box in found.boxes}
        names = (labels.yolo_names(Path(classes), first) if classes else
                 tuple(sorted(occurring)))
        unknown = sorted(occurring - set(names))
        if unknown:
            raise ValueError(f'{classes} does not name {unknown[:5]}, which '
                             f'occur in the XML files.')
    found = {}
    for split, part in parts.items():
        with about_file(part.path):
            found[split] = to_coco(read[split], names, noticed[split],
                                   part.path, exif)
    return found
