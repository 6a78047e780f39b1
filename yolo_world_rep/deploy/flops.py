"""The FLOPs of a detector."""
import copy
from typing import Tuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_flops(model: nn.Module,
                image_size: Tuple[int, int] = (640, 640)) -> int:
    """FLOPs of a detector for one image, without post-processing.

    Convolutions and matrix products count, 2 for each multiply-add;
    nothing is computed, the shapes alone are followed.

    Args:
        model (nn.Module): A detector, not changed.
        image_size (tuple[int]): Height and width in pixels.
            Defaults to (640, 640).

    Returns:
        int: FLOPs.
    """
    shapes = copy.deepcopy(model).to('meta').eval().requires_grad_(False)
    image = torch.empty(1, 3, *image_size, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(image, mode='tensor')
    return counter.get_total_flops()
