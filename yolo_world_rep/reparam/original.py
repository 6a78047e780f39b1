"""Checkpoints of the original's tools, read as ours."""
from typing import Any, Dict, List, Mapping, Optional, Tuple

from torch import Tensor

from . import folding
from .meta import META_KEY, folded_names, stated_names

StateDict = Mapping[str, Tensor]

# The vocabulary a batch of the public models was trained with.
PRETRAIN_CLASSES = 80
HEAD_ROWS = '.cls_contrasts.0.conv.weight'
CLASS_BRANCH = '.cls_preds.0.0.conv.weight'
GUIDES = '.guide_weight'


def rows(state_dict: StateDict, ending: str, axis: int) -> Optional[int]:
    """Length of the first tensor whose name ends so, along an axis."""
    for key, tensor in state_dict.items():
        if key.endswith(ending) and tensor.dim() > axis:
            return tensor.shape[axis]
    return None


def names_of_rows(meta: Mapping[str, Any],
                  state_dict: StateDict) -> Optional[Tuple[str, ...]]:
    """The class names that a checkpoint states for the rows of its head.

    Args:
        meta (Mapping): The checkpoint's.
        state_dict (Mapping): Its tensors.

    Returns:
        tuple[str] | None: What folding noted, else mmdet's ``dataset_meta``
        where it has as many names as a folded head has rows: the original's
        converter leaves there those of the pre-training.
    """
    names = folded_names(meta)
    if names is not None:
        return names
    return None if stray_names(meta, state_dict) else stated_names(meta)


def stray_names(meta: Mapping[str, Any], state_dict: StateDict) -> str:
    """What to say of names that are not those of the rows; '' if they are."""
    names, count = stated_names(meta), rows(state_dict, HEAD_ROWS, 0)
    if (folded_names(meta) is not None or None in (names, count)
            or len(names or ()) == count):
        return ''
    return (f'its dataset_meta names {len(names or ())} classes and its head '
            f'has {count} row(s): that list, of the pre-training as a rule, '
            f'says nothing about the rows and is left aside')


def read_guides(state_dict: StateDict,
                meta: Mapping[str, Any]) -> Tuple[Dict[str, Tensor], str]:
    """The guides of a neck in matrix form as (M, N, d), whoever folded them.

    The original's converter projects a text to E channels, of which d = E/M
    in a row belong to each head, and stores that row of E numbers as (d, M),
    so that its axes are not what they seem. Taken flat and split by heads it
    is whole again. (The original's own layer cannot run, so nobody has
    trained these tensors.)

    Args:
        state_dict (Mapping): Of any checkpoint; not changed.
        meta (Mapping): Of the same; our own files are left as they are.

    Returns:
        tuple[dict, str]: The state dict, and what was done, '' if nothing.

    Raises:
        ValueError: If the shapes permit both layouts.
    """
    state_dict = dict(state_dict)
    keys = [key for key in state_dict if key.endswith(GUIDES)]
    if not keys or META_KEY in meta:
        return state_dict, ''
    count = rows(state_dict, HEAD_ROWS, 0)
    heads: Dict[str, int] = {}
    ours, theirs = [], []
    for key in keys:
        name, shape = key[:-len(GUIDES)], tuple(state_dict[key].shape)
        heads[key] = rows(state_dict, f'{name}.bias', 0) or 0
        width = _embed_channels(state_dict, name)
        if len(shape) != 3 or not heads[key]:
            return state_dict, ''
        own = shape[2] if width is None else width // heads[key]
        ours.append((shape[0], shape[2]) == (heads[key], own))
        theirs.append(shape == (count, shape[1] if width is None else own,
                                heads[key]))
    if not all(theirs):
        return state_dict, ''
    if all(ours):
        raise ValueError(
            f'The checkpoint\'s guides, {keys[0]} of shape '
            f'{tuple(state_dict[keys[0]].shape)}, may be of this package '
            f'(heads, texts, channels) or of the original (texts, channels, '
            f'heads), and nothing says which. Fold its source again: '
            f'yolo-world-rep reparameterize.')
    for key in keys:
        state_dict[key] = folding.split_heads(
            state_dict[key].flatten(1), heads[key]).contiguous()
    return state_dict, (
        f'the guides of its neck are stored as the original\'s converter '
        f'does, (N, d, M), and are read as (M, N, d): {len(keys)} tensor(s)')


def _embed_channels(state_dict: StateDict, name: str) -> Optional[int]:
    """E of an attention: its embedding's channels, else its input's."""
    for ending, axis in (('embed_conv.conv.weight', 0),
                         ('project_conv.conv.weight', 1),
                         ('project_conv.depthwise_conv.conv.weight', 0)):
        width = rows(state_dict, f'{name}.{ending}', axis)
        if width is not None:
            return width
    return None


def read_as_ours(state_dict: StateDict, meta: Mapping[str, Any]
                 ) -> Tuple[Dict[str, Tensor], List[str]]:
    """A checkpoint's tensors as our layers have them, and what to say of it.

    Raises:
        ValueError: See :func:`read_guides`.
    """
    state_dict, note = read_guides(state_dict, meta)
    return state_dict, [
        text for text in (note, stray_names(meta, state_dict)) if text
    ]


def pretrain_classes(state_dict: StateDict,
                     current: int = PRETRAIN_CLASSES) -> Optional[int]:
    """The ``pretrain_classes`` that a head needs to hold a checkpoint.

    The original's class branch is ``max(in_channels[0], num_classes)`` wide,
    so that its hidden width tells.

    Args:
        state_dict (Mapping): Of any checkpoint of the head's size.
        current (int): What the head has now. Defaults to 80.

    Returns:
        int | None: None where the width is that of ``current``, or the
        checkpoint has no such branch.
    """
    width, channels = (rows(state_dict, CLASS_BRANCH, axis)
                       for axis in (0, 1))
    if width is None or channels is None or (
            width < channels or width == max(channels, current)):
        return None
    return width
