"""A user's own data set: found, converted where needed, and checked."""
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..datasets.annotation_checks import by_level, check, compare
from ..datasets.annotations import (
    Annotations,
    Finding,
    from_content,
    read_coco,
)
from ..datasets.conversion import convert, format_of
from ..utils.files import PathLike, write_together

SPLITS = ('train', 'val')
# Where images usually lie, below the root or beside the annotations.
USUAL = ('', 'images', '{split}', 'images/{split}', '{split}/images',
         '{stem}', 'images/{stem}', 'JPEGImages', '{split}2017')


@dataclass(frozen=True)
class OwnData:
    """Training and validation data and what there is to say about them.

    ``root`` is absolute; ``findings`` are about ``'train'``, ``'val'`` and
    ``'both'``; ``contents`` are, by split, COCO files of converted data that
    are yet to be written to the paths of the annotations.
    """
    root: Path
    train: Annotations
    val: Annotations
    findings: Dict[str, List[Finding]]
    contents: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    def errors(self) -> List[str]:
        """What makes training impossible, with the split it is about."""
        return [finding.text if about == 'both' else f'{about}: {finding.text}'
                for about, found in self.findings.items() for finding in found
                if finding.level == 'error']

    def write(self) -> None:
        """Write the COCO files of converted data."""
        # Names of files need not be Unicode; escapes keep them.
        write_together({getattr(self, split).path: json.dumps(content).encode()
                        for split, content in self.contents.items()})


def _found(root: Path, given: PathLike, what: str) -> Path:
    """A path below the root, or from here."""
    for place in (root / given, Path(given)):
        if place.exists():
            return Path(os.path.abspath(place))
    raise ValueError(f'{what} {given}: neither {root / given} nor '
                     f'{os.path.abspath(given)} exists.')


def guess_images(root: Path, path: Path, split: str, names: List[str]) -> Path:
    """The folder that holds most of the first images of a file."""
    places = []
    for top in (root, path.parent):
        for pattern in USUAL:
            place = top / pattern.format(split=split, stem=path.stem)
            # instances_train2017.json goes with train2017.
            places += [place, top / path.stem.split('_')[-1]]

    def present(place: Path) -> int:
        return sum((place / name).is_file() for name in names[:20])

    return max(dict.fromkeys(places), key=present)


def _coco(root: Path, path: Path, images: Optional[Path],
          split: str) -> Annotations:
    data = read_coco(path, images or root)
    if images:
        return data
    names = [image['file_name'] for image in data.images]
    return replace(data, images_dir=guess_images(root, path, split, names))


def read_own_data(root: PathLike, train_ann: PathLike, val_ann: PathLike,
                  out: PathLike, train_img: Optional[PathLike] = None,
                  val_img: Optional[PathLike] = None,
                  classes: Optional[PathLike] = None) -> OwnData:
    """Read and check a training and a validation set; nothing is written.

    ``train_ann`` and ``val_ann`` are a COCO file, a folder of YOLO or VOC
    labels, a YAML of Ultralytics, or a list of images; ``train_img`` and
    ``val_img`` are the folders of their images, looked for where None.
    ``classes`` is the file of class names of YOLO and VOC labels. Data of
    other formats will be COCO files beside ``out``, the config to be.
    """
    root = Path(os.path.abspath(root))
    if not root.is_dir():
        raise ValueError(f'`root` {root} is no folder.')
    paths = {split: _found(root, given, f'`{split}_ann`')
             for split, given in (('train', train_ann), ('val', val_ann))}
    folders = {split: given and _found(root, given, f'`{split}_img`')
               for split, given in (('train', train_img), ('val', val_img))}
    notes: Dict[str, List[Finding]] = {split: [] for split in SPLITS}
    contents: Dict[str, Dict[str, Any]] = {}
    if all(format_of(path) is None for path in paths.values()):
        data = {split: _coco(root, paths[split], folders[split], split)
                for split in SPLITS}
    else:
        converted = convert(
            {split: (paths[split], folders[split]) for split in SPLITS},
            root, classes and _found(root, classes, '`classes`'))
        data = {}
        for split, each in converted.items():
            path = Path(os.path.abspath(out))
            path = path.with_name(f'{path.stem}_{split}.json')
            data[split] = from_content(each.content, path, each.images_dir)
            contents[split], notes[split] = each.content, each.findings
    findings = {split: by_level([*check(data[split]), *notes[split]])
                for split in SPLITS}
    findings['both'] = compare(data['train'], data['val'])
    return OwnData(root, data['train'], data['val'], findings, contents)
