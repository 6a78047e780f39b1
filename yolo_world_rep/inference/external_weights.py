"""Weights that an ONNX file has in other files, found without onnx.

ONNX Runtime before 1.24 opens whatever path stands there, outside of the
file's folder, too. An export has its weights inside, so that any path is one
too many, and the file is refused before a runtime sees it.
"""
from typing import Dict, Iterator, List, Mapping, Tuple, Union

from yolo_world_rep.utils.files import PathLike

# Messages that hold tensors somewhere, and those of their fields that lead to
# one, by the numbers in ONNX's schema.
FIELDS: Mapping[str, Dict[int, str]] = dict(
    model={7: 'graph', 20: 'training', 25: 'function'},
    graph={1: 'node', 5: 'tensor', 15: 'sparse'},
    node={5: 'attribute'},
    attribute={5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph',
               22: 'sparse', 23: 'sparse'},
    sparse={1: 'tensor', 2: 'tensor'},
    function={7: 'node', 11: 'attribute'},
    training={1: 'graph', 2: 'graph'})
# Of a tensor: where its values are, and whether they are elsewhere.
EXTERNAL_DATA, DATA_LOCATION = 13, 14
# Of protobuf: how a field is written down.
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5


def _varint(data: memoryview, at: int) -> Tuple[int, int]:
    """A number and where the next thing begins."""
    value = 0
    for count in range(10):
        byte = data[at + count]
        value |= (byte & 0x7f) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    raise IndexError


def _fields(data: memoryview) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """The numbers of a message's fields, with their values."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: Union[int, memoryview] = 0
        if kind == VARINT:
            value, at = _varint(data, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        elif kind == LENGTH:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        else:  # groups, which ONNX has none of
            raise IndexError
        if at > len(data):
            raise IndexError
        yield number, value


def check_weights_inside(path: PathLike, data: bytes) -> None:
    """Refuse an ONNX file that has tensors in others, or is no ONNX file.

    ``data`` is its content.
    """
    todo: List[Tuple[str, memoryview]] = [('model', memoryview(data))]
    try:
        while todo:
            kind, message = todo.pop()
            for number, value in _fields(message):
                if kind == 'tensor':
                    if number == EXTERNAL_DATA or (
                            number == DATA_LOCATION and value):
                        raise ValueError(
                            f'{path} has weights in another file, which an '
                            f'export never has, and which may lead '
                            f'anywhere. Export the model again.')
                elif number in FIELDS[kind] and isinstance(value, memoryview):
                    todo.append((FIELDS[kind][number], value))
    except IndexError:
        raise ValueError(f'{path} cannot be read: it is no ONNX file, or not '
                         f'all of one. Export the model again.') from None
