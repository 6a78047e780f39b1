"""Reading a checkpoint without running what is in it.

A checkpoint is a pickle, and a pickle can call anything. Training
checkpoints moreover hold objects of mmengine, which torch's own safe loader
refuses whole. A conversion wants tensors and plain values, so here a
handful of constructors is allowed and every other name in the file becomes
an inert stand-in: it can be called, filled and copied, and does nothing.
The unpickler is the one in Python, since that in C takes numbers of the file
for the size of its tables. Where a file holds a whole torch module instead of
a state dict, the tensors are picked out of the stand-ins.
"""
import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import (
    Any,
    BinaryIO,
    Callable,
    ClassVar,
    Dict,
    Iterator,
    List,
    Tuple,
)

import torch
from torch import Tensor

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
    """Whatever the file named that is neither a tensor nor a plain value.

    What it would have been filled with is kept, to be looked at.
    """

    # The name in the file, with its module's.
    origin = ''
    state: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Inert':
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> 'Inert':
        return self

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


class PlainUnpickler(pickle._Unpickler):
    """Finds nothing but tensors' constructors, fills nothing but stand-ins.
    """
    stack: List[Any]
    dispatch: ClassVar[Dict[int, Callable[[Any], None]]] = dict(
        pickle._Unpickler.dispatch)

    def load_build(self) -> None:
        """Keep a stand-in's state; leave everything else as it is.

        A pickle may name the attributes that it sets, also those of
        functions and classes, and methods of a dict.
        """
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state

    dispatch[pickle.BUILD[0]] = load_build

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
        return type(name, (Inert, ), dict(origin=f'{module}.{name}'))


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


# Of a meta; a file can refer to one list many times, and lists to lists.
MAX_VALUES = 1_000_000
MAX_DEPTH = 20


def plain(value: Any) -> Any:
    """The part of a value that is made of tensors and plain values alone.

    Args:
        value (Any): Anything loaded.

    Returns:
        Any: Numbers, strings, booleans, None, tensors, and lists, tuples
        and dicts of them; what is none of these becomes None.

    Raises:
        ValueError: If there is no end of values.
    """
    count = 0

    def copy(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f'more than {MAX_VALUES} values')
        if type(value) in (bool, int, float, str, type(None), torch.Tensor):
            return value
        if depth == MAX_DEPTH:
            return None
        if isinstance(value, (list, tuple)):
            kind = list if isinstance(value, list) else tuple
            return kind(copy(item, depth + 1) for item in value)
        if isinstance(value, dict):
            return {
                key: copy(item, depth + 1)
                for key, item in value.items()
                if isinstance(key, (str, int))
            }
        return None

    return copy(value, 0)


# Far more than any detector has; a file can nest modules without end.
MAX_MODULES = 10000


def _part(module: Inert, name: str) -> Dict[str, Any]:
    """A dict among what a stand-in was filled with, empty if none."""
    state = module.state if isinstance(module.state, dict) else {}
    part = state.get(name)
    return part if isinstance(part, dict) else {}


def named_modules(root: Inert) -> Iterator[Tuple[str, Inert]]:
    """A pickled torch module and all modules below it.

    Args:
        root (Inert): What :func:`load_plain` made of the module.

    Yields:
        tuple: Name, as torch would give it ('' for the root), and stand-in.

    Raises:
        ValueError: If there is no end of modules.
    """
    found: List[Tuple[str, Inert]] = [('', root)]
    for name, module in found:
        yield name, module
        found.extend((f'{name}.{key}'.lstrip('.'), child)
                     for key, child in _part(module, '_modules').items()
                     if isinstance(child, Inert))
        if len(found) > MAX_MODULES:
            raise ValueError(
                f'The pickled module has more than {MAX_MODULES} modules '
                f'in it; expected a detector. Do not use this file.')


def module_tensors(root: Inert) -> Dict[str, Tensor]:
    """Parameters and buffers of a pickled torch module, by name.

    Args:
        root (Inert): What :func:`load_plain` made of the module.

    Returns:
        dict: Its state dict.
    """
    return {
        f'{name}.{key}'.lstrip('.'): value
        for name, module in named_modules(root)
        for part in ('_parameters', '_buffers')
        for key, value in _part(module, part).items()
        if isinstance(value, Tensor)
    }
