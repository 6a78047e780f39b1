"""A user's own data set: read, converted where needed, split and checked."""
import os
import random
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from ..datasets.annotation_checks import by_level, check, compare
from ..datasets.annotations import (
    Annotations,
    Finding,
    read_coco,
)
from ..datasets.categories import choose, in_order, superclass_findings
from ..datasets.conversion import EXIF, convert, format_of
from ..datasets.image_paths import tail_below
from ..utils.files import PathLike, write_together
from .data_layouts import DataLayout

SPLITS = ('train', 'val')
# Where images usually lie, below the root or beside the annotations.
USUAL = ('', 'images', '{split}', 'images/{split}', '{split}/images',
         '{stem}', 'images/{stem}', 'JPEGImages', '{split}2017', '{end}',
         'images/{end}')


@dataclass(frozen=True)
class OwnData:
    """Training and validation data, and findings about them.

    ``findings`` are about ``'train'``, ``'val'`` and ``'both'``; ``made``
    says that the annotations, converted, split or fixed, are yet to be
    written to their paths.
    """
    layout: DataLayout
    train: Annotations
    val: Annotations
    findings: Dict[str, List[Finding]]
    made: bool

    @property
    def root(self) -> Path:
        """The folder of the data, absolute."""
        return self.layout.root

    def errors(self) -> List[str]:
        """The errors that prevent training, each with its split."""
        return [finding.text if about == 'both' else f'{about}: {finding.text}'
                for about, found in self.findings.items() for finding in found
                if finding.level == 'error']

    def require_sound(self) -> None:
        """Refuse data with errors that prevent training."""
        if self.errors():
            raise ValueError(
                f'The data cannot be trained on: {" ".join(self.errors())}')

    def write(self) -> None:
        """Write the COCO files of data that are not as their files."""
        if self.made:
            write_together({
                data.path: data.to_json() for data in (self.train, self.val)})


def guess_images(root: Path, path: Path, split: str, names: List[str]) -> Path:
    """The folder that holds most of the first images of a file."""
    places = []
    for top in (root, path.parent):
        for pattern in USUAL:
            # instances_train2017.json goes with train2017.
            places.append(top / pattern.format(
                split=split, stem=path.stem, end=path.stem.split('_')[-1]))

    def present(place: Path) -> int:
        return sum(len(Path(tail_below(place, name)).parts)
                   for name in names[:20])

    return max(dict.fromkeys(places), key=present)


def split_by_image(data: Annotations, fraction: float, seed: int = 0,
                   number: int = 0, folds: int = 0) -> Dict[str, Annotations]:
    """Hold out a share of the images, with their boxes, for validation.

    What is drawn depends on the names of the images, not on their order. Of
    ``folds`` it is the one of that number, and not a share.
    """
    ids = list(dict.fromkeys(image['id'] for image in sorted(
        data.images, key=lambda image: image['file_name'])))
    if len(ids) < 2:
        raise ValueError(f'{data.path} has {len(ids)} image(s): expected two '
                         f'or more, to train on some and validate on others.')
    if folds and not 2 <= folds <= len(ids):
        raise ValueError(f'`folds` {folds}: expected 2 to {len(ids)}, the '
                         f'number of the training images.')
    count = min(max(1, round(fraction * len(ids))), len(ids) - 1)
    drawn = random.Random(seed).sample(ids, len(ids) if folds else count)
    held = set(drawn[number::folds] if folds else drawn)
    return {
        split: replace(
            data, changed=True,
            images=[i for i in data.images if (i['id'] in held) is val],
            boxes=[b for b in data.boxes if (b['image_id'] in held) is val])
        for split, val in (('train', False), ('val', True))}


def read_splits(layout: DataLayout) -> Dict[str, Annotations]:
    """The splits of a data set in the form of COCO, by name."""
    root, read = layout.root, {}
    if all(format_of(part.path) is None for part in layout.parts.values()):
        for split, part in layout.parts.items():
            read[split] = read_coco(part.path, part.images or partial(
                guess_images, root, part.path, split))
        if layout.exif != EXIF[0]:
            raise ValueError('`exif` goes with labels of YOLO and VOC.')
    else:
        read = convert(layout.parts, root, layout.classes, layout.exif)
    read = {split: choose(data, layout.choice) for split, data in read.items()}
    if layout.val_fraction and 'train' in read:
        read.update(split_by_image(read['train'], layout.val_fraction,
                                   *(layout.fold or ())))
    return read


def read_split(layout: DataLayout, split: str) -> Annotations:
    """One split of a data set, to evaluate on."""
    parts = layout.parts
    if split in parts and format_of(parts[split].path) is None:
        parts = {split: parts[split]}  # labels take their names from all
    read = read_splits(replace(layout, parts=parts))
    if split not in read:
        raise ValueError(f'`split` {split}: {layout.root} has '
                         f'{", ".join(read)}.')
    said = superclass_findings(list(read.values()), layout.choice)
    return replace(read[split], findings=(*read[split].findings, *(
        each._replace(level='warning') for each in said)))


def read_own_data(layout: DataLayout, out: PathLike,
                  classes: Optional[Sequence[str]] = None) -> OwnData:
    """Read and check training and validation data; nothing is written.

    Data that are converted, split or fixed will be COCO files beside ``out``,
    the config to be. They get the order of ``classes``, those of the
    checkpoint, where they have the same.
    """
    read = read_splits(replace(layout, parts={
        split: part for split, part in layout.parts.items()
        if split in SPLITS}))
    for names, of in ((read['train'].names, 'train'),
                      (classes or (), 'the checkpoint')):
        read = {split: in_order(data, names, of)
                for split, data in read.items()}
    out = Path(os.path.abspath(out))
    made = any(read[split].changed for split in SPLITS)
    if made:
        read = {split: replace(
            data, path=out.with_name(f'{out.stem}_{split}.json'))
            for split, data in read.items()}
    findings = {split: by_level([*check(data, split == 'train'),
                                 *data.findings])
                for split, data in read.items()}
    findings['both'] = [
        *superclass_findings(list(read.values()), layout.choice),
        *compare(read['train'], read['val'])]
    return OwnData(layout, read['train'], read['val'], findings, made)
