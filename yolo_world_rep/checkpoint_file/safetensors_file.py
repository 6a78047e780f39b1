"""Safetensors files, which hold only tensors and text."""
import json
from typing import Any, Dict, Mapping

import torch
from torch import Tensor

from yolo_world_rep.utils.files import parse_json

from .tensors import DTYPES

SUFFIX = '.safetensors'
# In the file's metadata: the meta of a checkpoint, as JSON. A tensor in it is
# stored beside the others, and stands there as {TENSOR: its name}.
META = 'meta'
TENSOR = '__tensor__'
HEAD = 8
MAX_DEPTH = 100


def is_one(start: bytes, size: int) -> bool:
    return start[HEAD:HEAD + 1] == b'{' and (
        0 < int.from_bytes(start[:HEAD], 'little') <= size - HEAD)


def parsed(data: bytes) -> Dict[str, Any]:
    """Tensors and meta from a file's bytes, or ``ValueError``."""
    import safetensors
    from safetensors.torch import load
    try:
        tensors = load(data)
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f'safetensors says: {str(error)[:200]}') from None
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise ValueError(f'{name[:80]!r} in it is of {tensor.dtype}')
    length = int.from_bytes(data[:HEAD], 'little')
    header = parse_json(data[HEAD:HEAD + length].decode())
    text = (header.get('__metadata__') or {}).get(META)
    meta = {} if text is None else parse_json(text)
    if not isinstance(meta, dict):
        raise ValueError('the meta in it is no dict')
    return dict(state_dict=tensors, meta=_with_tensors(meta, tensors))


def _with_tensors(value: Any, tensors: Dict[str, Tensor],
                  depth: int = 0) -> Any:
    """A meta with its tensors put back."""
    if depth > MAX_DEPTH:
        raise ValueError('its meta is nested too deeply')
    if isinstance(value, list):
        return [_with_tensors(each, tensors, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR}:
        name = value[TENSOR]
        if not isinstance(name, str) or name not in tensors:
            raise ValueError(f'its meta refers to a tensor that is not '
                             f'there, or twice to one: {str(name)[:80]!r}')
        return tensors.pop(name)
    return {key: _with_tensors(each, tensors, depth + 1)
            for key, each in value.items()}


def as_bytes(state_dict: Mapping[str, Tensor],
             meta: Mapping[str, Any]) -> bytes:
    """The file of tensors and a meta of plain values, with tensors in it."""
    from safetensors.torch import save
    tensors = dict(state_dict)

    def stored(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = f'{TENSOR}.{len(tensors)}'
            tensors[name] = value
            return {TENSOR: name}
        if isinstance(value, Mapping):
            return {str(key): stored(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [stored(each) for each in value]
        return value

    text = json.dumps(stored(meta))
    return save({
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }, {'format': 'pt', META: text})
