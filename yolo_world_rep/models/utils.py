"""What several kinds of model need."""
from fnmatch import fnmatchcase
from typing import Optional, Sequence

import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

NORM_CFG = dict(type='BN', momentum=0.03, eps=0.001)


def require_text(module: nn.Module, text: Optional[Tensor]) -> Tensor:
    """The text embeddings, or a ValueError that names who lacks them."""
    if text is None:
        raise ValueError(
            f'{type(module).__name__} is text-conditioned and got no text '
            f'embeddings. Set mm_neck=True in the detector, or use a '
            f'reparameterized block (Rep…) with a converted checkpoint.')
    return text


def freeze(module: nn.Module) -> None:
    """Stop gradients of the parameters and updates of the statistics."""
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def freeze_parts(model: nn.Module, patterns: Sequence[str]) -> None:
    """:func:`freeze` what is named so, ``*`` standing for anything."""
    for pattern in patterns:
        parts = [part for name, part in (*model.named_modules(),
                                         *model.named_parameters())
                 if fnmatchcase(name, pattern)]
        if not parts:
            raise ValueError(f'frozen: {pattern!r} is the name of nothing in '
                             f'the model.')
        for part in parts:
            if isinstance(part, nn.Module):
                freeze(part)
            part.requires_grad_(False)
