"""What the weights of a checkpoint must be, whoever reads them."""
from typing import Mapping

import torch
from torch import Tensor

# Tensors of a state dict that count, and are no weights.
COUNTS = ('num_batches_tracked', 'position_ids', 'relative_position_index',
          'steps')
VARIANCE = 'running_var'


def check_weights(source: object, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that no training gives and that detect nothing.

    Loading would cast integers and complex numbers without a word, and NaN
    is above no threshold.

    Args:
        source (object): The file, for the message.
        tensors (Mapping): Its state dict.

    Raises:
        ValueError: With the name of the first that is not of floating
            point, not finite, or a negative variance.
    """
    for name, tensor in tensors.items():
        last = name.rpartition('.')[2]
        problem = ''
        if not tensor.is_floating_point():
            if tensor.is_complex() or last not in COUNTS:
                problem = (f'is of type {tensor.dtype}; expected floating '
                           f'point')
        elif not tensor.isfinite().all():
            problem = 'has NaN or infinite values'
        elif last == VARIANCE and (tensor < 0).any():
            problem = 'is a variance and has negative values'
        if problem:
            raise ValueError(
                f'{source}: {name} {problem}: the file is damaged, or its '
                f'training diverged. Use another checkpoint.')


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """What is computed from weights of a type is kept in."""
    return torch.promote_types(dtype, torch.float32)
