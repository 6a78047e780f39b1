"""A checkpoint's meta, checked before use."""
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from torch import Tensor

from yolo_world_rep.text.names import META_KEY, Names, are_names

NECK_VOCABULARIES = ('same', 'padded', 'own')


def require(path: Path, name: str, value: Any, fits: bool,
            expected: str) -> None:
    """ValueError with name, value and what was expected, unless it fits."""
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f'{shown[:80]}…'
        raise ValueError(
            f'{path}: its meta has {name}={shown}; expected {expected}. The '
            f'file was changed by hand or damaged: convert its source again '
            f'with yolo-world-rep reparameterize.')


def folding_meta(path: Path, meta: Mapping[str, Any]) -> Dict[str, Any]:
    """What a meta says of folding, checked; {} if nothing."""
    about = meta.get(META_KEY)
    if about is None:
        return {}
    require(path, META_KEY, about, isinstance(about, dict), 'a dict')

    def check(name: str, fits: Callable[[Any], bool], expected: str) -> None:
        value = about.get(name)
        require(path, name, value, value is None or fits(value), expected)

    for name in ('num_classes', 'num_guide', 'embed_dims'):
        value = about.get(name, 0)
        require(path, name, value,
                type(value) is int and 0 <= value < 2**31, 'a number')
    for name in ('format', 'head', 'size', 'version'):
        check(name, lambda value: isinstance(value, str), 'a text')
    for name in ('source', 'embeddings', 'neck_embeddings'):
        check(name, lambda value: isinstance(value, dict), 'a dict')
    check('classes', are_names, 'a list of names')
    check('history', lambda value: isinstance(value, (list, tuple)), 'a list')
    check('neck_vocabulary', lambda value: value in NECK_VOCABULARIES,
          ' or '.join(NECK_VOCABULARIES))
    check('text_layers', lambda value: isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(each, Tensor)
        for name, each in value.items()), 'a dict of tensors')
    return about


def meta_of(about: Mapping[str, Any],
            classes: Optional[Names]) -> Dict[str, Any]:
    """A file's meta, with class names where mmdet looks for them as well."""
    meta: Dict[str, Any] = {META_KEY: about}
    if classes is not None:
        meta['dataset_meta'] = dict(classes=classes)
    return meta
