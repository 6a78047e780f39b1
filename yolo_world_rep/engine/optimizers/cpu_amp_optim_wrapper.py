"""Mixed precision where there is no GPU."""
from contextlib import contextmanager
from typing import Iterator

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmyolo.registry import OPTIM_WRAPPERS

from ...registry import register


def check_cpu_bfloat16() -> None:
    """Take a gradient in bfloat16; ``ValueError`` if this torch cannot."""
    try:
        layer = nn.Conv2d(1, 1, 1)
        with torch.autocast('cpu', torch.bfloat16):
            loss = layer(torch.ones(1, 1, 2, 2)).float().sum()
        loss.backward()
    except RuntimeError as error:
        raise ValueError(
            f'`amp`: torch {torch.__version__} cannot train in bfloat16 on '
            f'this CPU ({error}); leave `amp` out here') from error


@register(OPTIM_WRAPPERS)
class CPUAmpOptimWrapper(OptimWrapper):
    """Training steps whose forward pass runs in bfloat16 on the CPU.

    Weights, their gradients and the optimizer's state stay float32.
    bfloat16 has float32's range, so there is no loss to scale. mmengine's
    AmpOptimWrapper, whose arguments are the same but for ``loss_scale``,
    refuses to run without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast to bfloat16."""
        with super().optim_context(model), torch.autocast(
                'cpu', torch.bfloat16):
            yield
