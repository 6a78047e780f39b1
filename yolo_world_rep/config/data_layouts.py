"""Where the splits of a data set are, in the layouts that tools export."""
import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from ..datasets import yolo_format as labels
from ..datasets.categories import CategoryChoice
from ..datasets.conversion import EXIF, YOLO, Source, format_of
from ..utils.files import PathLike, require_regular

# What names a split in a file's or folder's name, or as a key of a YAML.
SPLIT_WORDS = dict(
    train='train', training='train', val='val', valid='val', validation='val',
    test='test', testing='test')
VAL_FRACTION = 0.2
# The first of a choice is for training, the last for validation.
ORDER = 'train', '', 'test', 'val'
CHOICES_SHOWN = 4
COCO_PARTS = b'"images"', b'"annotations"', b'"categories"'
Parts = Dict[str, Source]


@dataclass(frozen=True)
class DataLayout:
    """Where a data set keeps its splits, before any of it is read.

    ``parts`` has ``'train'`` and perhaps ``'val'`` and ``'test'``.
    ``val_fraction`` is None where ``'val'`` is there, else the share of the
    images of ``'train'`` that are held out; ``classes`` is the file that
    names the classes of YOLO and VOC labels, if one was given; ``choice`` is
    what becomes of the categories, ``exif`` how labels are read where EXIF
    turns the images; ``fold``
    is the seed of the parts of a cross-validation, which of them is held out,
    and how many there are.
    """
    root: Path
    name: str
    parts: Parts
    classes: Optional[Path] = None
    val_fraction: Optional[float] = None
    choice: CategoryChoice = CategoryChoice()
    exif: str = EXIF[0]
    fold: Optional[Tuple[int, int, int]] = None

    def origin(self, split: str) -> str:
        """What a split is, in words."""
        if split not in self.parts:
            return f'{self.val_fraction:.0%} of train, drawn by image'
        part = self.parts[split]
        place = os.path.relpath(part.path, self.root.parent)
        place = f'{part.key} of {place}' if part.key else place
        serves = split == 'val' and part == self.parts.get('test')
        return f'{place} (for want of val)' if serves else place


def found(root: Path, given: PathLike, what: str) -> Path:
    """A path below the root, or from here."""
    for place in (root / given, Path(given)):
        if place.exists():
            return Path(os.path.abspath(place))
    raise ValueError(f'{what} {given}: neither {root / given} nor '
                     f'{os.path.abspath(given)} exists.')


def split_of(path: Path) -> Tuple[str, Path]:
    """The split that a path names, '' if none, and the path up to there."""
    for part in (path, *path.parents):
        for word in re.findall('[a-z]+', part.name.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word], part
    return '', path


def _yaml_files(root: Path) -> List[Path]:
    files = []
    for path in sorted(root.glob('*.y*ml')):
        with suppress(ValueError):  # a YAML of something else
            if {'names', 'train'} <= set(labels.read_yaml(path)):
                files.append(path)
    return files


def _coco_files(root: Path) -> List[Path]:
    files = [path for path in sorted(
        [*root.glob('*.json'), *root.glob('[!.]*/*.json')]) if path.is_file()]
    files = [path for path, text in zip(files, map(Path.read_bytes, files))
             if all(part in text for part in COCO_PARTS)]
    # Beside these COCO has captions and keypoints of the same images.
    return [path for path in files
            if path.name.startswith('instances_')] or files


def _label_folders(root: Path, suffix: str,
                   is_label: Callable[[bytes], Any]) -> List[Path]:
    """Folders of labels, one for each split that their paths name."""
    named, others = set(), []
    for top, below, names in os.walk(root):
        below[:] = [name for name in below if name[0] != '.']
        folder = Path(top)
        files = (folder / name for name in names
                 if name.lower().endswith(suffix))
        if any(is_label(path.read_bytes()) for path in files
               if path.is_file()):
            split, place = split_of(folder.relative_to(root))
            if split:
                named.add(root / place)
            else:
                others.append(folder)
    return sorted(named) + (
        [Path(os.path.commonpath(others))] if others else [])


def _voc_sources(root: Path) -> List[Path]:
    return [path for path in sorted(root.glob('ImageSets/Main/*.txt'))
            if path.stem in SPLIT_WORDS] or _label_folders(
                # In UTF-16 there are zeros between.
                root, '.xml', lambda data: re.search(
                    rb'<annotation[\s>]', data.replace(b'\0', b'')))


def _yolo_sources(root: Path) -> List[Path]:
    """Lists of images, as CVAT and Darknet have them, or label folders."""
    return [path for path in sorted(root.glob('*.txt'))
            if path.stem.lower() in SPLIT_WORDS
            and format_of(path) == YOLO] or _label_folders(
                root, '.txt', labels.LABEL)


def _ambiguous(root: Path, pairs: Iterable[Tuple[Path, Path]]) -> ValueError:
    """Has the user say which files are for training and validation."""
    choices = [
        ' '.join(f'`{split}_ann` {shlex.quote(os.path.relpath(path, root))}'
                 for split, path in zip(('train', 'val'), pair))
        for pair in islice(pairs, CHOICES_SHOWN)]
    return ValueError(f'`data` {root} can be read in several ways. Say which: '
                      f'{"; or ".join(choices)}.')


def _by_split(root: Path, files: List[Path]) -> Parts:
    """The files by the splits that they name."""
    groups: Dict[str, List[Path]] = {}
    for path in files:
        groups.setdefault(split_of(path.relative_to(root))[0], []).append(path)
    if len(files) == 1:
        groups = dict(train=files)
    others = groups.pop('', files)
    if 'train' not in groups or max(map(len, groups.values())) > 1:
        pairs = product(groups.get('train', others),
                        groups.get('val') or groups.get('test', others))
        raise _ambiguous(root, (each for each in pairs if len(set(each)) > 1))
    return {split: Source(path) for split, (path, ) in groups.items()}


def _of_yaml(path: Path) -> Parts:
    return {SPLIT_WORDS[key]: Source(path, key=key)
            for key, value in labels.read_yaml(path).items()
            if value and key in SPLIT_WORDS}


def _of_folder(root: Path) -> Parts:
    yamls = _yaml_files(root)
    kinds = [_coco_files(root), _voc_sources(root),
             # Of these a YAML tells.
             [] if yamls else _yolo_sources(root)]
    kinds = [files for files in kinds if files]
    if not yamls and not kinds:
        raise ValueError(
            f'`data` {root} has no annotations in a usual place: expected a '
            f'YAML of Ultralytics, COCO files, or folders of VOC or YOLO '
            f'labels. Say where they are by `train_ann` and `val_ann`.')
    if len(kinds) + len(yamls) > 1:
        raise _ambiguous(root, [(path, path) for path in yamls] + [
            (files[0], files[-1]) for files in (
                sorted(each, key=lambda path: ORDER.index(
                    split_of(path.relative_to(root))[0])) for each in kinds)])
    return _of_yaml(yamls[0]) if yamls else _by_split(root, kinds[0])


def find_data(data: PathLike, val_fraction: Optional[float] = None, *,
              train_ann: Optional[PathLike] = None,
              val_ann: Optional[PathLike] = None,
              train_img: Optional[PathLike] = None,
              val_img: Optional[PathLike] = None,
              classes: Optional[PathLike] = None,
              only: Sequence[str] = (), drop_class: Sequence[str] = (),
              join_classes: Mapping[str, Sequence[str]] = {},
              exif: str = EXIF[0]) -> DataLayout:
    """Find training, validation and test data by their usual names.

    ``data`` is a YAML of Ultralytics, a COCO file, or a folder with COCO
    files, YOLO labels or VOC files. ``train_ann`` and ``val_ann`` name what
    is not to be looked for: a COCO file, a folder of labels, a YAML or a list
    of images; ``train_img`` and ``val_img`` are the folders of their images,
    ``classes`` is the file of the class names of labels. Where there are no
    validation data, the test data serve, or ``val_fraction`` (0.2) of the
    training images. What is ambiguous is a ValueError that has the choices.

    ``join_classes`` makes one class of several, ``dict(pet=['cat', 'dog'])``;
    then ``drop_class`` leaves classes out, and ``only`` keeps these alone, in
    this order. ``exif`` says how labels of YOLO and VOC lie in images that
    EXIF turns: as the images are ``'shown'`` or ``'stored'``.

    Example:
        >>> find_data('pets', drop_class=['animals-abcd'])
    """
    if exif not in EXIF:
        raise ValueError(f'`exif` {exif}: expected {" or ".join(EXIF)}.')
    place = Path(os.path.abspath(require_regular(data)))
    if not place.exists():
        raise ValueError(f'`data` {data} does not exist.')
    root = place if place.is_dir() else place.parent
    if root != place and root.name == 'annotations':
        root = root.parent
    parts: Parts = dict(train=Source(place))
    if train_ann or val_ann:
        parts = {split: Source(found(root, given, f'`{split}_ann`'))
                 for split, given in (('train', train_ann), ('val', val_ann))
                 if given}
    elif place.suffix in labels.YAML:
        parts = _of_yaml(place)
    elif root == place:
        parts = _of_folder(place)
    if 'train' not in parts:
        raise ValueError(f'`data` {data} has no training data: expected '
                         f'train in the YAML, or `train_ann`.')
    if val_fraction is None and 'val' not in parts:
        if 'test' in parts:
            parts['val'] = parts['test']
        else:
            val_fraction = VAL_FRACTION
    elif val_fraction is not None and 'val' in parts:
        raise ValueError(f'`val_fraction`: {parts["val"].path} is there to '
                         f'validate on. Leave it out.')
    if val_fraction is not None and not 0 < val_fraction < 1:
        raise ValueError(f'`val_fraction` {val_fraction}: expected a number '
                         f'between 0 and 1.')
    for split, images in (('train', train_img), ('val', val_img)):
        if images and split in parts:
            parts[split] = parts[split]._replace(
                images=found(root, images, f'`{split}_img`'))
    own_name = place.suffix in labels.YAML and (
        place.stem not in ('data', 'dataset'))
    return DataLayout(root, place.stem if own_name else root.name or 'data',
                      parts, classes and found(root, classes, '`classes`'),
                      val_fraction, CategoryChoice(
                          only, drop_class, join_classes), exif)
