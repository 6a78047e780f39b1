"""Checks of tensors before anything is computed with them."""
from typing import Mapping, Optional

import torch
from torch import Tensor

# Tensors of a state dict that are counters, not weights.
COUNTS = ('num_batches_tracked', 'position_ids', 'relative_position_index',
          'steps')
VARIANCE = 'running_var'


def check_weights(source: object, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that no training gives and that detect nothing.

    Loading would cast integers and complex numbers silently, and NaN is above
    no threshold. ``source`` is the file, for the message.
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


def require_key(state_dict: Mapping[str, Tensor], key: str) -> Tensor:
    """The tensor of a name, or ValueError."""
    if key not in state_dict:
        raise ValueError(
            f'The checkpoint lacks {key}, which belongs to a YOLO-World '
            f'layer it has: it is incomplete or of an unknown kind.')
    return state_dict[key]


def require_floats(state_dict: Mapping[str, Tensor], key: str,
                   *shape: Optional[int]) -> Tensor:
    """A tensor of finite numbers in a shape; None for any length but 0."""
    tensor = require_key(state_dict, key)
    if not tensor.is_floating_point() or tensor.dim() != len(shape) or any(
            found != wanted if wanted is not None else not found
            for found, wanted in zip(tensor.shape, shape)):
        wanted = ', '.join('any' if n is None else str(n) for n in shape)
        raise ValueError(
            f'The checkpoint\'s {key} is of shape {tuple(tensor.shape)} and '
            f'type {tensor.dtype}; expected floating point numbers of shape '
            f'({wanted}). It is damaged or of an unknown kind.')
    require_finite(key, tensor)
    return tensor


def require_scalar(state_dict: Mapping[str, Tensor], key: str) -> Tensor:
    """A tensor of one finite number."""
    tensor = require_key(state_dict, key)
    if not tensor.is_floating_point() or tensor.numel() != 1:
        raise ValueError(
            f'The checkpoint\'s {key} is of shape {tuple(tensor.shape)} and '
            f'type {tensor.dtype}; expected one floating point number. It is '
            f'damaged or of an unknown kind.')
    require_finite(key, tensor)
    return tensor


def require_finite(key: str, tensor: Tensor) -> None:
    """Refuse NaN and infinite values."""
    if not tensor.isfinite().all():
        raise ValueError(
            f'The checkpoint\'s {key} has NaN or infinite values: it is '
            f'damaged, or its training diverged. Take another checkpoint.')


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The type in which values computed from such weights are kept."""
    return torch.promote_types(dtype, torch.float32)
