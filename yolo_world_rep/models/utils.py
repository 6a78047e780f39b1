"""What several kinds of model need."""
from typing import Optional

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
