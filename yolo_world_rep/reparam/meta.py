"""What a checkpoint's meta says, checked before it is believed."""
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from torch import Tensor

from yolo_world_rep.text.names import META_KEY, are_names

NECK_VOCABULARIES = ('same', 'padded', 'own')


def require(path: Path, name: str, value: Any, fits: bool,
            expected: str) -> None:
    """Refuse what was written by hand or is damaged.

    Raises:
        ValueError: With name, value and what was expected.
    """
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f'{shown[:80]}…'
        raise ValueError(
            f'{path}: its meta has {name}={shown}; expected {expected}. The '
            f'file was changed by hand or damaged: convert its source again '
            f'with yolo-world-rep reparameterize.')


def folding_meta(path: Path, meta: Mapping[str, Any]) -> Dict[str, Any]:
    """What a meta says of folding, of the types that it was written with.

    Args:
        path (Path): The file, for messages.
        meta (Mapping): The file's.

    Returns:
        dict: Empty if it says nothing.

    Raises:
        ValueError: If anything in it is of another type.
    """
    about = meta.get(META_KEY)
    if about is None:
        return {}
    require(path, META_KEY, about, isinstance(about, dict), 'a dict')
    for name in ('num_classes', 'num_guide', 'embed_dims'):
        value = about.get(name, 0)
        require(path, name, value,
                type(value) is int and 0 <= value < 2**31, 'a number')
    for name in ('format', 'head', 'size', 'version'):
        value = about.get(name)
        require(path, name, value, value is None or isinstance(value, str),
                'a text')
    for name in ('source', 'embeddings', 'neck_embeddings'):
        value = about.get(name)
        require(path, name, value, value is None or isinstance(value, dict),
                'a dict')
    classes = about.get('classes')
    require(path, 'classes', classes, classes is None or are_names(classes),
            'a list of names')
    history: Optional[List[Any]] = about.get('history')
    require(path, 'history', history,
            history is None or isinstance(history, (list, tuple)), 'a list')
    kind = about.get('neck_vocabulary')
    require(path, 'neck_vocabulary', kind,
            kind is None or kind in NECK_VOCABULARIES,
            ' or '.join(NECK_VOCABULARIES))
    layers = about.get('text_layers')
    require(
        path, 'text_layers', layers, layers is None
        or isinstance(layers, dict) and all(
            isinstance(name, str) and isinstance(each, Tensor)
            for name, each in layers.items()), 'a dict of tensors')
    return about
