"""Files of Pascal VOC: read, and matched with their images."""
import codecs
import math
import re
from itertools import takewhile
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..utils.files import require_regular
from .coco_records import LIMIT
from .image_paths import files_below
from .yolo_format import Box, Labels, Noticed, Pair, entries_of

# How a file begins that need not say its encoding.
MARKS = {codecs.BOM_UTF8: 'utf-8-sig', codecs.BOM_UTF16_LE: 'utf-16',
         codecs.BOM_UTF16_BE: 'utf-16', b'<\0': 'utf-16-le',
         b'\0<': 'utf-16-be'}
_DECLARED = re.compile(rb'\s*<\?xml[^>]*?encoding\s*=\s*["\']([\w.-]+)')


def _refuse_entity(name: str, *_: Any) -> NoReturn:
    """Entities may stand for very much, or for other files."""
    raise ValueError(f'it declares the entity {name[:40]!r}')


def _decoded(data: bytes) -> str:
    """The text of an XML file in the encoding that it declares."""
    encoding = next((name for mark, name in MARKS.items()
                     if data.startswith(mark)), None)
    if encoding is None:
        declared = _DECLARED.match(data)
        encoding = declared[1].decode().lower() if declared else 'utf-8'
    try:
        # Files that say gb2312 have characters of its extensions.
        return data.decode('gb18030' if encoding in ('gb2312', 'gbk')
                           else encoding)
    except (LookupError, UnicodeError):
        raise ValueError(
            f'it is not in {encoding}, its encoding. Declare the one it has '
            f'in its first line: <?xml version="1.0" encoding="gbk"?>'
        ) from None


def _root_of(path: Path) -> Element:
    """The root of an XML file that is VOC's."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(_decoded(require_regular(path).read_bytes()), True)
        root = builder.close()
        if root.tag != 'annotation':
            raise ValueError(f'its root is <{root.tag[:40]}>, not '
                             f'<annotation>')
    except (ValueError, AssertionError, expat.ExpatError) as error:
        raise ValueError(f'{path} is not in the format of VOC: '
                         f'{error}.') from None
    return root


def _number(node: Element, field: str) -> float:
    """A number of pixels, NaN for what is none."""
    try:
        value = float(node.findtext(field) or '')
    except ValueError:
        return math.nan
    return value if -LIMIT <= value <= LIMIT else math.nan


def read_voc(path: Path) -> Labels:
    """The boxes in an XML file; a ``ValueError`` says what is wrong where."""
    root, boxes = _root_of(path), []
    for number, each in enumerate(root.findall('object'), 1):
        name = ' '.join((each.findtext('name') or '').split())
        box = Box(name, tuple(_number(each, f'bndbox/{field}')
                              for field in ('xmin', 'ymin', 'xmax', 'ymax')))
        if not name or any(map(math.isnan, box.corners)):
            raise ValueError(
                f'{path} is not in the format of VOC: object {number} has '
                f'name={name[:40]!r} and bndbox={box.corners}; expected a '
                f'name, and xmin, ymin, xmax, ymax in pixels.')
        boxes.append(box)
    size = [_number(root, f'size/{field}') for field in ('width', 'height')]
    return Labels(boxes, False, None if not all(
        value >= 1 for value in size) else (int(size[0]), int(size[1])))


def voc_pairs(source: Path, root: Path, images_dir: Optional[Path],
              noticed: Noticed) -> List[Pair]:
    """Images and XML files of a VOC data set.

    ``source`` is a folder of XML files, or a list of their names
    (``ImageSets/Main/train.txt``) in ``root/Annotations``. ``images_dir`` is
    by default ``root/JPEGImages``.
    """
    if source.is_file():
        folder = root / 'Annotations'
        files = [folder / f'{entry.split()[0]}.xml'
                 for entry in dict.fromkeys(entries_of(source))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ValueError(f'{source} lists {len(missing)} name(s) that '
                             f'{folder} has no file of: {missing[:3]}.')
    else:
        files = files_below(source, ('.xml', ))
    if images_dir is None:
        usual = root / 'JPEGImages'
        beside = source.is_dir() and files_below(source)
        images_dir = usual if usual.is_dir() else source if beside else root
    by_stem: Dict[str, List[Path]] = {}
    for path in files_below(images_dir):
        by_stem.setdefault(path.stem, []).append(path)
    stems = {file: file.stem if file.stem in by_stem else Path(
        (_root_of(file).findtext('filename') or '').replace('\\', '/').strip()
    ).stem for file in files}
    lost = [file.name for file in files if stems[file] not in by_stem]
    if lost:
        raise ValueError(
            f'{len(lost)} of {len(files)} XML files have no image of their '
            f'name in {images_dir}: {lost[:3]}. Give the folder '
            f'(`train_img`, `val_img`).')
    pairs: Dict[Path, Pair] = {}
    for file in files:
        image = _nearest(file, by_stem[stems[file]])
        other = pairs.setdefault(image, Pair(image, file))
        if other.label != file:
            raise ValueError(
                f'{file} and {other.label} are both named after {image}. '
                f'Expected an image for each, in folders of the same names.')
    if source.is_dir():
        folders = {image.parent for image in pairs}
        known = {path.stem for path in files_below(root, ('.xml', ))}
        bare = [path.name for each in by_stem.values() for path in each
                if path.parent in folders and path not in pairs
                and path.stem not in known]
        if bare:
            noticed['image(s) have no XML file and are left out'] += bare
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
