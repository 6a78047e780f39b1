"""Checkpoint files written by hand, opcode by opcode."""
import io
import pickle
import struct
import zipfile
from typing import Dict, Optional


def program(*parts: bytes) -> bytes:
    """A pickle by hand."""
    return b'\x80\x02' + b''.join(parts) + b'.'


def archive(data: bytes, packed: bool = False,
            more: Optional[Dict[str, bytes]] = None,
            order: str = 'little') -> bytes:
    """An archive as of torch around a pickle."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, 'w', method) as made:
        made.writestr('m/data.pkl', data)
        made.writestr('m/byteorder', order)
        for name, each in (more or {}).items():
            made.writestr(f'm/{name}', each)
        made.writestr('m/version', '3\n')
    return buffer.getvalue()


def old_format(data: bytes, storages: bytes = b'') -> bytes:
    """A file as of torch before 1.6 around a pickle."""
    about = dict(protocol_version=1001, little_endian=True, type_sizes={})
    return b''.join(
        pickle.dumps(each, 2) for each in
        (0x1950a86a20f9469cfc6c, 1001, about)) + data + (
            storages or pickle.dumps([], 2))


def text(word: str) -> bytes:
    """The opcode of a short text."""
    data = word.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def number(value: int) -> bytes:
    """The opcode of a whole number."""
    if -1 << 31 <= value < 1 << 31:
        return b'J' + struct.pack('<i', value)
    data = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
    return b'\x8a' + bytes([len(data)]) + data


def state_dict(*tensor: bytes) -> bytes:
    """A pickle of a state dict with this tensor."""
    return program(b'}', text('neck.x'), *tensor, b's')


def storage(key: str = '0', count: int = 4, kind: str = 'FloatStorage',
            first: str = 'storage') -> bytes:
    """The opcodes of a storage."""
    return b''.join((b'(', text(first), b'ctorch\n', kind.encode(), b'\n',
                     text(key), text('cpu'), number(count), b'tQ'))


def tensor(shape=(4, ), strides=(1, ), offset: int = 0,
           **about) -> bytes:
    """The opcodes of a tensor."""
    numbers = [b''.join((b'(', *map(number, each), b't'))
               for each in (shape, strides)]
    return b''.join((b'ctorch._utils\n_rebuild_tensor_v2\n(',
                     storage(**about), number(offset), *numbers,
                     b'\x89ccollections\nOrderedDict\n)RtR'))


def with_data(*opcodes: bytes) -> bytes:
    """An archive whose one storage has four numbers."""
    return archive(state_dict(*opcodes), more={'data/0': bytes(16)})
