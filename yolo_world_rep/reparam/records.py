"""What is taken from the records of a file: plain values, modules' tensors.

Where a file holds a pickled torch module instead of a state dict, the tensors
are picked out of its records.
"""
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import torch
from torch import Tensor

from yolo_world_rep.checkpoint_file import Record, budget_of
from yolo_world_rep.utils.wording import some

# Of a meta; a file can refer to one list many times, and lists to lists.
MAX_VALUES = 300_000
MAX_DEPTH = 20


def plain(value: Any, budget: int) -> Any:
    """The part of a value that is made of tensors and plain values alone.

    Anything but numbers, strings, tensors, lists, tuples and dicts becomes
    None. ValueError if there is no end of values, or the tensors take more
    than ``budget`` bytes.
    """
    count = 0
    left = budget

    def copy(value: Any, depth: int) -> Any:
        nonlocal count, left
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f'more than {MAX_VALUES} values')
        if isinstance(value, Tensor):
            left -= value.numel() * value.element_size()
            if left < 0:
                raise ValueError('tensors that would fill the memory')
            return value
        if type(value) in (bool, int, float, str, type(None)):
            return value
        if depth == MAX_DEPTH:
            return None
        if isinstance(value, (list, tuple)):
            kind = list if isinstance(value, list) else tuple
            return kind(copy(item, depth + 1) for item in value)
        if isinstance(value, dict):
            return {key: copy(item, depth + 1)
                    for key, item in value.items()
                    if isinstance(key, (str, int))}
        return None

    return copy(value, 0)


def check_tensors(path: Path, tensors: Mapping[str, Any],
                  expected: str = 'a checkpoint with a state_dict') -> None:
    """Refuse entries that are not plain tensors, or too large for their file.

    One tensor can be there under many names, and copies would fill the memory.
    """
    odd = [str(key)[:80] for key, value in tensors.items()
           if not isinstance(key, str) or not isinstance(value, Tensor)
           or value.layout != torch.strided or value.is_quantized]
    if odd or not tensors:
        raise ValueError(
            f'{path} has ' +
            (f'entries in its state_dict that are no tensors: {some(odd)}.'
             if odd else 'no tensors under state_dict.') +
            f' Expected {expected}.')
    size = sum(each.numel() * each.element_size() for each in tensors.values())
    bytes_of_file = path.stat().st_size
    if size > budget_of(bytes_of_file):
        raise ValueError(
            f'{path} has {bytes_of_file:,} bytes and its tensors would take '
            f'{size:,}: it would fill the memory. Do not use this file.')


# Far more than any detector has; a file can nest modules without end.
MAX_MODULES = 10000


def _part(module: Record, name: str) -> Dict[str, Any]:
    """A dict among a module's attributes, empty if none."""
    state = module.state if isinstance(module.state, dict) else {}
    part = state.get(name)
    return part if isinstance(part, dict) else {}


def named_modules(root: Record) -> Iterator[Tuple[str, Record]]:
    """A pickled torch module, named '', and all below it by name."""
    found: List[Tuple[str, Record]] = [('', root)]
    for name, module in found:
        yield name, module
        found.extend((f'{name}.{key}'.lstrip('.'), child)
                     for key, child in _part(module, '_modules').items()
                     if isinstance(child, Record))
        if len(found) > MAX_MODULES:
            raise ValueError(
                f'The pickled module has more than {MAX_MODULES} modules '
                f'in it; expected a detector. Do not use this file.')


def module_tensors(root: Record) -> Dict[str, Tensor]:
    """Parameters and buffers of a pickled torch module, by name."""
    return {f'{name}.{key}'.lstrip('.'): value
            for name, module in named_modules(root)
            for part in ('_parameters', '_buffers')
            for key, value in _part(module, part).items()
            if isinstance(value, Tensor)}
