"""The guides of a folded neck, as convolutions or as one matrix a layer.

Both forms hold the same numbers: of ``guide_weight``, (M, N, d), head m is
``guide_convs.m.weight``, (N, d, 1, 1).
"""
from itertools import count, takewhile
from typing import Collection, Dict, Tuple

from torch import Tensor

from . import folding
from .description import StateDict

MATRIX, FIRST = '.guide_weight', '.guide_convs.0.weight'


def in_form_of(state_dict: StateDict,
               model: Collection[str]) -> Tuple[Dict[str, Tensor], str]:
    """A state dict whose guides have the form of a model's, bit for bit.

    ``model`` is the names of its tensors. The second value says what was
    done, '' if nothing. Guides of odd shapes stay as they are.
    """
    changed, done = dict(state_dict), set()
    for key, tensor in state_dict.items():
        layer = key[:-len(MATRIX)]
        if key.endswith(MATRIX) and layer + FIRST in model and (
                tensor.dim() == 3):
            del changed[key]
            for head, weight in enumerate(folding.guide_to_convs(tensor)):
                changed[f'{layer}.guide_convs.{head}.weight'] = weight
            done.add('matrices and are read as convolutions')
        layer = key[:-len(FIRST)]
        if key.endswith(FIRST) and layer + MATRIX in model:
            heads = list(takewhile(state_dict.__contains__, (
                f'{layer}.guide_convs.{head}.weight' for head in count())))
            if {state_dict[name].shape[2:] for name in heads} == {(1, 1)} and (
                    len({state_dict[name].shape for name in heads}) == 1):
                changed[layer + MATRIX] = folding.guide_from_convs(
                    [changed.pop(name) for name in heads])
                done.add('convolutions and are read as matrices')
    what = ' and '.join(sorted(done))
    return changed, what and (
        f'the guides of its neck are stored as {what}, as the model has '
        f'them; the numbers are the same')
