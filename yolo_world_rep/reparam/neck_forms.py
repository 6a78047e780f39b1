"""The guides of a folded neck, as convolutions or as one matrix per layer.

Both forms hold the same numbers: of ``guide_weight``, (M, N, d), head m is
``guide_convs.m.weight``, (N, d, 1, 1).
"""
from functools import partial
from itertools import count, takewhile
from typing import Collection, Dict, Tuple

from torch import Tensor

from . import folding
from .description import StateDict


def _conv(layer: str, head: int) -> str:
    return f'{layer}.guide_convs.{head}.weight'


def in_form_of(state_dict: StateDict,
               model: Collection[str]) -> Tuple[Dict[str, Tensor], str]:
    """A state dict whose guides have the form of a model's, bit for bit.

    ``model`` is the names of its tensors. The second value says what was
    done, '' if nothing. Guides of odd shapes stay as they are.
    """
    changed, done = dict(state_dict), ''
    for key, tensor in state_dict.items():
        layer = key.partition('.guide_')[0]
        matrix, first = f'{layer}.guide_weight', _conv(layer, 0)
        if key == matrix and first in model and tensor.dim() == 3:
            del changed[key]
            for head, weight in enumerate(folding.guide_to_convs(tensor)):
                changed[_conv(layer, head)] = weight
            done = 'matrices and are read as convolutions'
        elif key == first and matrix in model:
            heads = list(takewhile(state_dict.__contains__,
                                   map(partial(_conv, layer), count())))
            shapes = {state_dict[name].shape for name in heads}
            if len(shapes) == 1 and tensor.shape[2:] == (1, 1):
                changed[matrix] = folding.guide_from_convs(
                    [changed.pop(name) for name in heads])
                done = 'convolutions and are read as matrices'
    return changed, done and (
        f'the guides of its neck are stored as {done}, as the model has '
        f'them; the numbers are the same')
