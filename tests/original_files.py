"""Checkpoints as the original's tools write them, of tiny models."""
from typing import Any, Dict, Sequence

import torch
from torch import Tensor

# Of Objects365, whose names the public checkpoints keep.
PRETRAINED = tuple(f'thing {number}' for number in range(365))


def folded_tensors(state: Dict[str, Tensor], text: Tensor,
                   form: str) -> Dict[str, Tensor]:
    """What the original's converter makes of a text-conditioned detector.

    Its head takes the text as it is. In matrix form the E numbers of a text
    are stored as (d, M); tuned prompts stay beside the result.

    Args:
        state (dict): Of the text-conditioned detector.
        text (Tensor): (N, D).
        form (str): 'rep_conv' or 'rep_linear'.
    """
    made = {}
    for key, tensor in state.items():
        name, _, part = key.rpartition('.')
        if key.startswith('backbone.text_model.') or name.endswith(
                '.guide_fc') and part == 'bias':
            continue
        if name.endswith('.guide_fc'):
            block = name[:-len('.guide_fc')]
            guide = text @ tensor.t() + state[f'{name}.bias']
            heads = len(state[f'{block}.bias'])
            if form == 'rep_linear':
                made[f'{block}.guide_weight'] = guide.view(
                    len(text), -1, heads)
            else:
                made.update({
                    f'{block}.guide_convs.{head}.weight':
                    each[:, :, None, None]
                    for head, each in enumerate(guide.chunk(heads, 1))
                })
        elif part == 'logit_scale':
            made[f'{name}.conv.weight'] = (text * tensor.exp())[..., None,
                                                                None]
            made[f'{name}.conv.bias'] = state[f'{name}.bias'].repeat(
                len(text))
        elif f'{name}.logit_scale' not in state or part != 'bias':
            made[key] = tensor
    return made


def checkpoint(state: Dict[str, Tensor],
               names: Sequence[str] = PRETRAINED) -> Dict[str, Any]:
    """A training checkpoint around tensors: what mmengine keeps stays."""
    return dict(
        state_dict=state,
        optimizer=dict(state={}, param_groups=[]),
        message_hub=dict(),
        ema_state_dict=dict(steps=torch.tensor(3)),
        meta=dict(
            epoch=100,
            iter=1000,
            dataset_meta=dict(classes=tuple(names), palette=None)))
