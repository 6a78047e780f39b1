"""LVIS, with the names of its classes compared to those of the file."""
import logging
import re
from typing import List, Mapping, Optional, Sequence, Set

from mmdet.datasets import LVISV1Dataset
from mmengine.fileio import load
from mmyolo.datasets.yolov5_coco import BatchShapePolicyDataset
from mmyolo.registry import DATASETS

from ..compat.lvis import mend_lvis
from ..registry import register
from ..text import load_class_names
from ..utils.log import log

SHOWN = 5  # names listed of many
# Of a hundred classes, so many may bear a name of another category: a text
# file may prefer a synonym that is elsewhere a name of its own.
TOLERATED_PERCENT = 1


def require_lvis() -> None:
    """Make the lvis package ready; ``ImportError`` if it is not installed."""
    try:
        mend_lvis()
    except ImportError as error:
        raise ImportError(
            'LVIS is read and evaluated with the lvis package, which is not '
            'installed: pip install "yolo-world-rep[lvis]"') from error


def _spelled(name: str) -> str:
    return ' '.join(name.lower().replace('_', ' ').split())


def category_spellings(category: Mapping) -> Set[str]:
    """The possible names of a category: name and synonyms, with and without
    the explanation in parentheses, ignoring case and underscores."""
    names = [category['name'], *category.get('synonyms', ())]
    return {_spelled(form) for name in names
            for form in (name, re.sub(r'[_ ]*\([^)]*\)', '', name))}


def compare_with_categories(classes: Sequence[str],
                            categories: Sequence[Mapping],
                            path: str) -> Optional[str]:
    """A warning of class names that an annotation file does not know, or None.

    ``classes`` has a name for each label; labels are numbered in the order of
    ``categories``, those of the file at ``path``. If the numbers of classes
    differ, or their order, a ``ValueError`` is raised.
    """
    remedy = ('give the classes (class_text_path, or metainfo) in the order '
              'of the file\'s categories')
    if len(classes) != len(categories):
        raise ValueError(
            f'{path} has {len(categories)} categories, and there are '
            f'{len(classes)} class names: {remedy}.')
    known = {_spelled(category['name']) for category in categories}
    elsewhere, unknown = [], []
    for label, (name, category) in enumerate(zip(classes, categories)):
        # A name may hold synonyms, as 'aerosol can/spray can' does.
        spelled = {_spelled(form) for form in (name, name.split('/')[0])}
        if spelled & category_spellings(category):
            continue
        said = f'class {label} is {name!r}, category {category["name"]!r}'
        (elsewhere if _spelled(name) in known else unknown).append(said)
    if len(elsewhere) * 100 > TOLERATED_PERCENT * len(classes):
        raise ValueError(
            f'{len(elsewhere)} class names are those of other categories of '
            f'{path}: {"; ".join(elsewhere[:SHOWN])}. The order differs: '
            f'{remedy}.')
    odd = elsewhere + unknown
    if not odd:
        return None
    return (f'{len(odd)} of {len(classes)} class names are not among the '
            f'names and synonyms of {path}: {"; ".join(odd[:SHOWN])}'
            f'{" and more" if len(odd) > SHOWN else ""}. Labels follow the '
            f'file: make sure that they are the same things.')


@register(DATASETS)
class YOLOv5LVISV1Dataset(BatchShapePolicyDataset, LVISV1Dataset):
    """mmdet's LVIS v1 with mmyolo's batch shapes, under its public name.

    Labels are numbered in the order of the annotation file's categories,
    regardless of their names, so the names are compared with them.

    Args:
        *args: As mmdet's LVISV1Dataset.
        class_text_path (str, optional): File of class texts, whose first
            synonyms are the names of the classes. Defaults to None for
            mmdet's names.
        **kwargs: As mmdet's LVISV1Dataset, and ``batch_shapes_cfg``.

    Raises:
        ValueError: If the names are not those of the categories.
        ImportError: If lvis is not installed.
    """

    def __init__(self, *args, class_text_path: Optional[str] = None,
                 **kwargs) -> None:
        require_lvis()
        if class_text_path is not None:
            names = load_class_names(class_text_path)
            metainfo = dict(kwargs.get('metainfo') or {})
            if metainfo.setdefault('classes', names) != names:
                raise ValueError(
                    f'class_text_path={class_text_path!r} and '
                    f'metainfo["classes"] (class_names in our configs) name '
                    f'different classes: give one of them.')
            kwargs['metainfo'] = metainfo
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """As mmdet's, after a look at the names."""
        content = load(self.ann_file, backend_args=self.backend_args)
        warning = compare_with_categories(self.metainfo['classes'],
                                          content['categories'], self.ann_file)
        if warning:
            log(warning, logging.WARNING)
        return super().load_data_list()
