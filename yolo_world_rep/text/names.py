"""Class names: where they come from, and how two lists differ."""
import os
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from ..utils.wording import some
from .vocabulary import load_class_texts

Names = Tuple[str, ...]

# Under this name the meta of a folded checkpoint says what it is.
META_KEY = 'yolo_world_rep'
SHOWN = 6


def names_of(metainfo: Optional[Mapping[str, Any]]) -> Optional[Names]:
    """The ``classes`` of a metainfo, None where it names none."""
    classes = (metainfo or {}).get('classes')
    if classes is None:
        return None
    # A single class is often written without the comma of a tuple.
    return (classes, ) if isinstance(classes, str) else tuple(classes)


def are_names(value: Any) -> bool:
    """Whether a value, from a file, is a list of texts."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(each, str) for each in value)


def names_of_checkpoint(meta: Mapping[str, Any],
                        rows: Optional[int] = None) -> Optional[Names]:
    """The class names that a checkpoint states for the rows of its head.

    What folding noted, else mmdet's ``dataset_meta`` if it has as many names:
    the original's converter leaves those of the pre-training there.
    """
    for key, count in ((META_KEY, None), ('dataset_meta', rows)):
        stated = meta.get(key)
        classes = stated.get('classes') if isinstance(stated, Mapping) else ()
        if (isinstance(classes, str) or are_names(classes)) and classes:
            names = names_of(stated) or ()
            return names if count in (None, len(names)) else None
    return None


def class_names(texts: Sequence[Sequence[str]]) -> Names:
    """The name of each class: the first of its synonyms."""
    return tuple(synonyms[0] for synonyms in texts)


def load_class_names(path: Union[str, os.PathLike]) -> Names:
    """The names in a file that :func:`load_class_texts` reads."""
    return class_names(load_class_texts(path))


def annotation_names(dataset: Any) -> Optional[Names]:
    """The names that a COCO data set's labels 0, 1, ... really stand for.

    mmdet numbers them in the order of the annotation file, whatever that of
    ``metainfo['classes']``, and skips names that the file does not know.
    """
    from mmengine.fileio import load
    cat_ids = getattr(dataset, 'cat_ids', None)
    path = getattr(dataset, 'ann_file', None)
    if cat_ids is None or not str(path).endswith('.json'):
        return None
    content = load(path, backend_args=getattr(dataset, 'backend_args', None))
    names = {category['id']: category['name']
             for category in content.get('categories', ())}
    return tuple(names.get(number, f'id {number}') for number in cat_ids)


def name_differences(found: Sequence[str], wanted: Sequence[str]) -> str:
    """How two lists of class names differ, in words; '' if they do not."""
    if tuple(found) == tuple(wanted):
        return ''
    parts = []
    if len(found) != len(wanted):
        parts.append(f'{len(found)} against {len(wanted)} names')
    for whose, names, others in (('former', found, set(wanted)),
                                 ('latter', wanted, set(found))):
        own = [repr(name) for name in names if name not in others]
        if own:
            parts.append(f'only the {whose} has {some(own, SHOWN)}')
    if set(found) == set(wanted):
        place = next((i for i, pair in enumerate(zip(found, wanted))
                      if pair[0] != pair[1]), min(len(found), len(wanted)))
        ends = [repr(names[place]) if place < len(names) else 'nothing'
                for names in (found, wanted)]
        parts.append(f'the same names in another order, first at number '
                     f'{place}: {ends[0]} against {ends[1]}')
    return '; '.join(parts)
