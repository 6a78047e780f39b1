"""Checkpoints of the original's tools, read as ours."""
from typing import Any, Dict, List, Mapping, Optional, Tuple

from torch import Tensor

from yolo_world_rep.text.names import META_KEY, names_of_checkpoint

from . import folding
from .description import HEAD_ROWS, StateDict, rows

GUIDES = '.guide_weight'


def stray_names(meta: Mapping[str, Any], state_dict: StateDict) -> str:
    """What to say of names that do not belong to the rows; '' if they do."""
    names, count = names_of_checkpoint(meta), rows(state_dict, HEAD_ROWS, 0)
    if names is None or names_of_checkpoint(meta, count) is not None:
        return ''
    return (f'its dataset_meta names {len(names)} classes and its head has '
            f'{count} row(s): that list, of the pre-training as a rule, '
            f'says nothing about the rows and is left aside')


def read_guides(state_dict: StateDict,
                meta: Mapping[str, Any]) -> Tuple[Dict[str, Tensor], str]:
    """The guides of a neck in matrix form as (M, N, d), from any converter.

    The original's converter projects a text to E channels, d = E/M
    consecutive ones for each head, and reshapes that row to (d, M), so its
    axes are not what they seem. Flattened and split by heads it is right
    again. (The original's own layer cannot run, so nobody has trained these
    tensors.) Our own files are left as they are. The second value says what
    was done, '' if nothing; ValueError if the shapes permit both layouts.
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
    """A checkpoint's tensors in our layout, and what to say about it."""
    state_dict, note = read_guides(state_dict, meta)
    return state_dict, [
        text for text in (note, stray_names(meta, state_dict)) if text
    ]
