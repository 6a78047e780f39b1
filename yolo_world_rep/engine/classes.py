"""The class names of data sets, heads and checkpoints."""
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from mmengine.fileio import load

from yolo_world_rep.reparam.fit import SHOWN

Names = Tuple[str, ...]


def names_of(metainfo: Optional[Mapping[str, Any]]) -> Optional[Names]:
    """The ``classes`` of a metainfo, None where it names none."""
    classes = (metainfo or {}).get('classes')
    if classes is None:
        return None
    # A single class is often written without the comma of a tuple.
    return (classes, ) if isinstance(classes, str) else tuple(classes)


def annotation_names(dataset: Any) -> Optional[Names]:
    """The names that a COCO data set's labels 0, 1, ... really stand for.

    mmdet numbers the labels in the order of the annotation file, whatever
    the order of ``metainfo['classes']``, and skips names that the file does
    not know.

    Args:
        dataset: A data set; those not of mmdet's COCO kind are not looked at.

    Returns:
        tuple[str, ...] | None: One name a label, None if it is not known.
    """
    cat_ids = getattr(dataset, 'cat_ids', None)
    path = getattr(dataset, 'ann_file', None)
    if cat_ids is None or not str(path).endswith('.json'):
        return None
    content = load(
        path, backend_args=getattr(dataset, 'backend_args', None))
    categories = content.get('categories', ())
    names = {category['id']: category['name'] for category in categories}
    return tuple(names.get(number, f'id {number}') for number in cat_ids)


def name_differences(found: Sequence[str], wanted: Sequence[str]) -> str:
    """Where two lists of class names part, in words; '' where they agree.

    Args:
        found (Sequence[str]): Names of the one.
        wanted (Sequence[str]): Names of the other.

    Returns:
        str: For example ``"3 against 4 names; only here: 'cat'"``.
    """
    if tuple(found) == tuple(wanted):
        return ''

    def listed(names: List[str]) -> str:
        more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
        return ', '.join(repr(name) for name in names[:SHOWN]) + more

    parts = []
    if len(found) != len(wanted):
        parts.append(f'{len(found)} against {len(wanted)} names')
    here = [name for name in found if name not in set(wanted)]
    there = [name for name in wanted if name not in set(found)]
    if here:
        parts.append(f'only the former has {listed(here)}')
    if there:
        parts.append(f'only the latter has {listed(there)}')
    if not (here or there):
        place = next((i for i, pair in enumerate(zip(found, wanted))
                      if pair[0] != pair[1]), min(len(found), len(wanted)))
        ends = [
            repr(names[place]) if place < len(names) else 'nothing'
            for names in (found, wanted)
        ]
        parts.append(f'the same names in another order, first at number '
                     f'{place}: {ends[0]} against {ends[1]}')
    return '; '.join(parts)
