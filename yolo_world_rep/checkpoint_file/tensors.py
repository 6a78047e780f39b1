"""Tensors from a file's bytes, after all checks."""
from math import prod
from typing import Any, Callable, Dict, Tuple

import torch
from torch import Tensor

from .pickle_records import Maker
from .pickle_values import Name

DTYPES = dict(
    DoubleStorage=torch.float64, FloatStorage=torch.float32,
    HalfStorage=torch.float16, BFloat16Storage=torch.bfloat16,
    LongStorage=torch.int64, IntStorage=torch.int32,
    ShortStorage=torch.int16, CharStorage=torch.int8,
    ByteStorage=torch.uint8, BoolStorage=torch.bool)
MAX_DIMS = 16
HUGE = 1 << 62


def size_of(dtype: torch.dtype) -> int:
    """Bytes of one number."""
    return torch.empty(0, dtype=dtype).element_size()


def storage_of(identifier: Any) -> Tuple[str, torch.dtype, int]:
    """Key, type and number of elements of a storage in a pickle."""
    # The last, of before torch 1.6, is of a view of a storage.
    if type(identifier) is not tuple or len(identifier) not in (5, 6) or (
            identifier[0] != 'storage' or identifier[5:] not in (
                (), (None, ))):
        raise ValueError('its pickle refers to something outside that is no '
                         'storage of torch')
    _, kind, key, _, count = identifier[:5]
    origin = kind.origin if type(kind) is Name else ''
    dtype = DTYPES.get(origin.rpartition('.')[2])
    if dtype is None or not origin.startswith('torch.'):
        raise ValueError(f'it has tensors of {origin[:80]!r}; expected plain '
                         f'ones of real numbers')
    if type(key) is not str or type(count) is not int or (
            not 0 <= count < HUGE):
        raise ValueError('its pickle refers to a storage without a name or '
                         'a size')
    return key, dtype, count


class Tensors:
    """The tensors of one file.

    ``read`` gives the bytes of a storage by its key and their number. The
    budget is what all tensors may have when each is copied: few bytes can
    stand for many.
    """

    def __init__(self, read: Callable[[str, int], Tensor],
                 budget: int) -> None:
        self.read = read
        self.budget = budget
        self.left = budget
        self.storages: Dict[Tuple[str, torch.dtype], Tensor] = {}
        self.bytes: Dict[str, Tensor] = {}
        self.makers: Dict[str, Maker] = {
            'torch._utils._rebuild_tensor': self.rebuilt,
            'torch._utils._rebuild_tensor_v2': self.rebuilt,
            'torch._utils._rebuild_parameter': self.parameter,
            'torch._utils._rebuild_parameter_with_state': self.parameter,
            'torch.Size': self.size,
            '_codecs.encode': self.encoded
        }

    def storage(self, identifier: Any) -> Tensor:
        """The numbers that a persistent identifier stands for, flat."""
        key, dtype, count = storage_of(identifier)
        found = self.storages.get((key, dtype))
        if found is None:
            size = count * size_of(dtype)
            if key not in self.bytes:
                self.bytes[key] = self.read(key, size)
            if len(self.bytes[key]) != size:
                raise ValueError(f'its storage {key[:80]!r} has '
                                 f'{len(self.bytes[key]):,} bytes, and its '
                                 f'pickle says {size:,}')
            found = self.bytes[key].view(dtype)
            self.storages[key, dtype] = found
        return found

    def forget(self) -> None:
        """Release the bytes; the tensors keep what they need."""
        for kept in (self.makers, self.storages, self.bytes):
            kept.clear()

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(
                f'its tensors would take {self.budget - self.left:,} bytes, '
                f'far more than the file has: it would fill the memory')

    def rebuilt(self, args: Any) -> Tensor:
        """A tensor of (storage, offset, shape, strides, …)."""
        if type(args) is not tuple or not 4 <= len(args) <= 7 or (
                type(args[0]) is not Tensor or any(args[6:])):
            raise ValueError('its pickle has a tensor of a kind that is not '
                             'plain')
        storage, offset, shape, strides = args[:4]
        if type(shape) is not tuple or type(strides) is not tuple or (
                len(shape) != len(strides) or len(shape) > MAX_DIMS
                or any(type(number) is not int or not 0 <= number < HUGE
                       for number in (offset, *shape, *strides))):
            raise ValueError('its pickle has a tensor without a shape')
        count = prod(shape)
        last = offset + sum(
            (size - 1) * stride for size, stride in zip(shape, strides))
        if count and last >= len(storage) or offset > len(storage):
            raise ValueError(f'a tensor of shape {shape} does not fit in the '
                             f'bytes that the file has for it')
        self.spend(count * storage.element_size())
        return storage.as_strided(shape, strides, offset)

    @staticmethod
    def parameter(args: Any) -> Tensor:
        if type(args) is not tuple or not args or (
                type(args[0]) is not Tensor):
            raise ValueError('its pickle has a parameter that is no tensor')
        return args[0]

    @staticmethod
    def size(args: Any) -> Tuple[Any, ...]:
        if type(args) is not tuple or len(args) != 1 or (
                type(args[0]) is not tuple):
            raise ValueError('its pickle has a damaged shape')
        return args[0]

    def encoded(self, args: Any) -> bytes:
        """Bytes, which protocol 2 writes as text."""
        if type(args) is not tuple or len(args) != 2 or (
                type(args[0]) is not str or args[1] != 'latin1'):
            raise ValueError('its pickle has damaged bytes')
        self.spend(len(args[0]))
        try:
            return args[0].encode('latin1')
        except UnicodeError:
            raise ValueError('its pickle has damaged bytes') from None
