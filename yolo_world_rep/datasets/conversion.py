"""Boxes in the formats of YOLO and Pascal VOC, as COCO has them.

Lines and files are parsed by globox; here is what lies around: which image
belongs to which label, the names of the classes, and the ids.
"""
import os
from itertools import takewhile
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)

from ..utils.files import PathLike, about_file
from . import yolo_format as labels
from .annotations import Finding, header_size

YOLO, VOC = 'yolo', 'voc'


class Source(NamedTuple):
    """The source of the labels of a split.

    ``images`` is the folder of its images, looked for where None; ``key``
    the split's name in a YAML, where that is another.
    """
    path: Path
    images: Optional[Path] = None
    key: str = ''


class Converted(NamedTuple):
    """A data set in the format of COCO.

    ``content`` is what a COCO file would hold, with file names relative to
    ``images_dir``; ``findings`` is what was noticed on the way.
    """
    content: Dict[str, Any]
    images_dir: Path
    findings: List[Finding]


def format_of(source: Path) -> Optional[str]:
    """``'yolo'`` or ``'voc'``, or None for a COCO file."""
    if source.is_dir():
        return VOC if next(source.rglob('*.xml'), None) else YOLO
    if source.suffix in ('.yaml', '.yml'):
        return YOLO
    if source.suffix == '.txt':
        entry = next(iter(labels.entries_of(source)), '')
        return YOLO if entry.lower().endswith(labels.IMAGES) else VOC
    return None


def voc_pairs(source: Path, root: Path,
              images_dir: Optional[Path]) -> List[labels.Pair]:
    """Images and XML files of a VOC data set.

    ``source`` is a folder of XML files, or a list of their names
    (``ImageSets/Main/train.txt``) in ``root/Annotations``. ``images_dir`` is
    by default ``root/JPEGImages``.
    """
    if source.is_file():
        folder = root / 'Annotations'
        files = [folder / f'{entry.split()[0]}.xml'
                 for entry in labels.entries_of(source)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ValueError(f'{source} lists {len(missing)} name(s) that '
                             f'{folder} has no file of: {missing[:3]}.')
    else:
        files = labels.files_below(source, ('.xml', ))
    if images_dir is None:
        usual = root / 'JPEGImages'
        beside = source.is_dir() and labels.files_below(source, labels.IMAGES)
        images_dir = usual if usual.is_dir() else source if beside else root
    by_stem: Dict[str, List[Path]] = {}
    for path in labels.files_below(images_dir, labels.IMAGES):
        by_stem.setdefault(path.stem, []).append(path)
    lost = [file.name for file in files if file.stem not in by_stem]
    if lost:
        raise ValueError(
            f'{len(lost)} of {len(files)} XML files have no image of their '
            f'name in {images_dir}: {lost[:3]}. Give the folder '
            f'(`train_img`, `val_img`).')
    pairs: Dict[Path, labels.Pair] = {}
    for file in files:
        image = _nearest(file, by_stem[file.stem])
        other = pairs.setdefault(image, labels.Pair(image, file))
        if other.label != file:
            raise ValueError(
                f'{file} and {other.label} are both named after {image}. '
                f'Expected an image for each, in folders of the same names.')
    return list(pairs.values())


def _nearest(label: Path, images: List[Path]) -> Path:
    """Of images with the same name, the one in the label's folders."""
    def shared(image: Path) -> int:
        """How many folders above have the same names."""
        both = zip(reversed(label.parent.parts), reversed(image.parent.parts))
        return len(list(takewhile(lambda names: names[0] == names[1], both)))

    first, *others = sorted(images, key=shared, reverse=True)
    if others and shared(others[0]) == shared(first):
        raise ValueError(
            f'{label} may belong to {first} or {others[0]}. Expected one '
            f'image of its name, or folders of the same names for both.')
    return first


def voc_boxes(pair: labels.Pair) -> List[Tuple[str, List[float]]]:
    """(class name, x, y, width and height in pixels) of an XML file."""
    parser = labels.globox().Annotation
    try:
        found = parser.from_pascal_voc(pair.label)
    except Exception as error:  # of several kinds, none of them ours
        raise ValueError(f'{pair.label} is not in the format of VOC: '
                         f'{error}') from None
    return [(box.label, labels.xywh(box)) for box in found.boxes]


def to_coco(pairs: List[labels.Pair],
            boxes_of: Callable[..., List[Tuple[str, List[float]]]],
            names: Tuple[str, ...]) -> Converted:
    """One COCO data set of images and their boxes.

    ``boxes_of`` gives the boxes of a pair, from the image's width and height;
    ``names`` are in the order of the labels. An image without a label file has
    no boxes.
    """
    if not pairs:
        raise ValueError('There are no images.')
    folder = Path(os.path.commonpath([pair.image.parent for pair in pairs]))
    ids = {name: number for number, name in enumerate(names, 1)}
    images, annotations, bare = [], [], []
    for number, pair in enumerate(pairs, 1):
        size = header_size(pair.image)
        if size is None:
            raise ValueError(f'{pair.image} does not exist or is not an image '
                             f'that can be read.')
        images.append(
            dict(id=number, file_name=str(pair.image.relative_to(folder)),
                 width=size[0], height=size[1]))
        if not pair.label.is_file():
            bare.append(pair.image.name)
            continue
        for name, (x, y, width, height) in boxes_of(pair, size):
            annotations.append(
                dict(id=len(annotations) + 1, image_id=number,
                     category_id=ids[name], bbox=[x, y, width, height],
                     area=round(width * height, 2), iscrowd=0))
    findings = []
    if bare:
        findings.append(Finding(
            'warning', f'{len(bare)} of {len(pairs)} image(s) have no label '
            f'file and count as background: {bare[:3]}.'))
    content = dict(
        images=images, annotations=annotations,
        categories=[dict(id=i, name=name) for name, i in ids.items()])
    return Converted(content, folder, findings)


def convert(sources: Mapping[str, Tuple], root: PathLike,
            classes: Optional[PathLike] = None) -> Dict[str, Converted]:
    """The splits of a YOLO or VOC data set, with the same classes.

    ``sources`` gives a :class:`Source` for each split. ``classes`` is the file
    that names the classes: by default one found in ``root``; for VOC all names
    that occur, sorted.
    """
    root = Path(os.path.abspath(root))
    parts = {split: Source(*each) for split, each in sources.items()}
    kinds = {split: format_of(part.path) for split, part in parts.items()}
    if len(set(kinds.values())) != 1:
        raise ValueError(f'The splits have other formats: {kinds}.')
    labels.globox()
    if next(iter(kinds.values())) == YOLO:
        yaml_file = next((part.path for part in parts.values()
                          if part.path.suffix in ('.yaml', '.yml')), None)
        names = labels.yolo_names(Path(classes or yaml_file or root))
        pairs = {split: labels.yolo_pairs(part.path, root, part.images,
                                          part.key or split)
                 for split, part in parts.items()}
        found = {}
        for split, each in pairs.items():
            with about_file(parts[split].path):
                found[split] = to_coco(
                    each, lambda p, s: labels.yolo_boxes(p, s, names), names)
        return found
    read = {
        split: {pair: voc_boxes(pair)
                for pair in voc_pairs(part.path, root, part.images)}
        for split, part in parts.items()
    }
    found = {name for boxes in read.values() for each in boxes.values()
             for name, _ in each}
    names = (labels.yolo_names(Path(classes)) if classes else
             tuple(sorted(found)))
    unknown = sorted(found - set(names))
    if unknown:
        raise ValueError(f'{classes} does not name {unknown[:5]}, which '
                         f'occur in the XML files.')
    return {split: to_coco(list(each), lambda p, s, e=each: e[p], names)
            for split, each in read.items()}
