"""Reading a checkpoint without running what is in it.

A checkpoint is a pickle, and a pickle can call anything. Training
checkpoints moreover hold objects of mmengine, which torch's own safe loader
refuses whole. A conversion wants tensors and plain values, so here a
handful of constructors is allowed and every other name in the file becomes
an inert stand-in: it can be called, filled and copied, and does nothing.
"""
import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, BinaryIO

import torch

# (module, name) of what tensors and plain values are made of.
ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    ('torch._utils', '_rebuild_tensor'): torch._utils._rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
}


class Inert:
    """Whatever the file named that is neither a tensor nor a plain value."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Inert':
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> 'Inert':
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Take an item of a list and forget it."""

    def extend(self, items: Any) -> None:
        """Take items of a list and forget them."""

    def add(self, item: Any) -> None:
        """Take an item of a set and forget it."""

    def __hash__(self) -> int:
        return id(self)


class PlainUnpickler(pickle.Unpickler):
    """Finds nothing but tensors' constructors."""

    def find_class(self, module: str, name: str) -> Any:
        """An allowed constructor, a dtype, or an inert stand-in."""
        allowed = ALLOWED.get((module, name))
        if allowed is not None:
            return allowed
        if module == 'torch':
            value = getattr(torch, name, None)
            if isinstance(value, torch.dtype) or (
                    isinstance(value, type) and name.endswith('Storage')):
                return value
        return Inert


def _load(file: BinaryIO, **kwargs: Any) -> Any:
    return PlainUnpickler(file, **kwargs).load()


def load_plain(path: str) -> Any:
    """Load a checkpoint's tensors and plain values, to the CPU.

    Args:
        path (str): The file, as ``torch.save`` wrote it.

    Returns:
        Any: Its content, with :class:`Inert` for everything else.
    """
    module = SimpleNamespace(
        __name__=__name__,
        Unpickler=PlainUnpickler,
        load=_load,
        UnpicklingError=pickle.UnpicklingError)
    return torch.load(
        path, map_location='cpu', pickle_module=module, weights_only=False)


def plain(value: Any, depth: int = 0) -> Any:
    """The part of a value that is made of plain values alone.

    Args:
        value (Any): Anything loaded.

    Returns:
        Any: Numbers, strings, booleans, None and lists, tuples and dicts
        of them; what is none of these becomes None.
    """
    if depth > 20:
        return None
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return {
            key: plain(item, depth + 1)
            for key, item in value.items() if isinstance(key, (str, int))
        }
    return None
