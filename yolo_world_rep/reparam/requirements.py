"""What a layer's tensors must be, before anything is computed with them."""
from typing import Mapping, Optional

from torch import Tensor


def require_key(state_dict: Mapping[str, Tensor], key: str) -> Tensor:
    """The tensor of a name.

    Raises:
        ValueError: If there is none.
    """
    if key not in state_dict:
        raise ValueError(
            f'The checkpoint lacks {key}, which belongs to a YOLO-World '
            f'layer it has: it is incomplete or of an unknown kind.')
    return state_dict[key]


def require_floats(state_dict: Mapping[str, Tensor], key: str,
                   *shape: Optional[int]) -> Tensor:
    """A tensor of finite numbers in a shape.

    Args:
        state_dict (Mapping): The checkpoint.
        key (str): Its name.
        *shape (int | None): Length of each axis, None for any but 0.

    Raises:
        ValueError: If it is missing, or anything else.
    """
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
    """A tensor of one finite number.

    Raises:
        ValueError: If it is missing, or anything else.
    """
    tensor = require_key(state_dict, key)
    if not tensor.is_floating_point() or tensor.numel() != 1:
        raise ValueError(
            f'The checkpoint\'s {key} is of shape {tuple(tensor.shape)} and '
            f'type {tensor.dtype}; expected one floating point number. It is '
            f'damaged or of an unknown kind.')
    require_finite(key, tensor)
    return tensor


def require_finite(key: str, tensor: Tensor) -> None:
    """Refuse NaN and infinite values.

    Raises:
        ValueError: If there are any.
    """
    if not tensor.isfinite().all():
        raise ValueError(
            f'The checkpoint\'s {key} has NaN or infinite values: it is '
            f'damaged, or its training diverged. Take another checkpoint.')
