"""Checkpoint files made to do harm, each by a function of the marker's path.

None of them may be read: what a reader of ours says is a ``ValueError``.
"""
import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Callable, Dict, Optional

import torch
from checkpoint_writer import (
    archive,
    number,
    old_format,
    program,
    state_dict,
    tensor,
    text,
    with_data,
)
from hostile import Marker
from hostile_checkpoints import legacy, pickled, text_conditioned

from yolo_world_rep.reparam import META_KEY

Maker = Callable[[Path], bytes]
FILES: Dict[str, Maker] = {}
MERSENNE = (1 << 61) - 1


def crafted(make: Maker) -> Maker:
    """Note a file under its function's name."""
    FILES[make.__name__] = make
    return make


def content(**more) -> dict:
    """What is sound in a file beside what is not."""
    return dict(state_dict=text_conditioned(), meta=dict(epoch=1), **more)


# --- code

class _Script(torch.nn.Module):
    """Writes a file when torch loads it."""
    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x):  # noqa: D102
        return x

    @torch.jit.export
    def __getstate__(self):  # noqa: D105
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):  # noqa: D105
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), state[0])


def torchscript(marker: Path) -> bytes:
    """A TorchScript archive that writes the marker."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(_Script(str(marker))), buffer)
    return buffer.getvalue()


@crafted
def torchscript_alone(marker: Path) -> bytes:
    return torchscript(marker)


def _central(data: bytes, shift: int = 0) -> bytes:
    """The directory of an archive, for entries that are moved."""
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        start = made.start_dir
        count = len(made.infolist())
    at, found = start, bytearray(data[start:])
    for _ in range(count):
        here = at - start
        offset, = struct.unpack_from('<L', found, here + 42)
        struct.pack_into('<L', found, here + 42, offset + shift)
        sizes = struct.unpack_from('<3H', found, here + 28)
        at += 46 + sum(sizes)
    return bytes(found[:at - start])


def _entries(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        return data[:made.start_dir]


@crafted
def second_directory(marker: Path) -> bytes:
    """Python reads a checkpoint here, and torch a TorchScript archive.

    The pointer to the other directory is the comment of the last entry.
    """
    good, evil = archive(pickle.dumps({}, 2)), torchscript(marker)
    first, second = _entries(good), _entries(evil)
    hidden = _central(evil, len(first))
    at = len(first) + len(second)
    count = len(zipfile.ZipFile(io.BytesIO(evil)).infolist())
    end64 = struct.pack('<4sQ2H2L4Q', b'PK\x06\x06', 44, 45, 45, 0, 0, count,
                        count, len(hidden), at)
    locator = struct.pack('<4sLQL', b'PK\x06\x07', 0, at + len(hidden), 1)
    shown = bytearray(_central(good))
    last = shown.rfind(b'PK\x01\x02')
    struct.pack_into('<H', shown, last + 32, len(locator))
    start = at + len(hidden) + len(end64)
    number = len(zipfile.ZipFile(io.BytesIO(good)).infolist())
    end = struct.pack('<4s4H2LH', b'PK\x05\x06', 0, 0, number, number,
                      len(shown) + len(locator), start, 0)
    return b''.join((first, second, hidden, end64, shown, locator, end))


@crafted
def directory_in_the_comment(marker: Path) -> bytes:
    evil = torchscript(marker)
    comment = _central(evil)
    data = archive(pickle.dumps({}, 2))
    return data[:-2] + struct.pack('<H', len(comment)) + comment


@crafted
def allocator(_: Path) -> bytes:
    """Calls an address, by a keyword argument of a class of torch."""
    return archive(program(
        b'ctorch\nUntypedStorage\n', number(4), b'\x85}', text('allocator'),
        number(0xdead), b's\x92'))


def _marker(how: int, where: str, old: bool) -> Maker:

    def make(marker: Path) -> bytes:
        bad = Marker(marker, how)
        whole = bad if where == 'top' else dict(
            state_dict={**text_conditioned(), 'neck.x': bad})
        return (legacy if old else pickled)(whole)

    return make


for _how in range(5):
    for _where in ('top', 'state'):
        for _old in (False, True):
            FILES[f'marker_{_how}_{_where}_{"old" if _old else "new"}'] = (
                _marker(_how, _where, _old))

# --- little that becomes large, or never ends

PROGRAMS = dict(
    nested_key=program(b'})', b'\x85' * 150_000, b'K\x01s'),
    nested_lists=program(b']' * 100_000, b'a' * 99_999),
    empty_sets=program(b'(', b'\x8f' * 10_000_000, b't'),
    classes_by_name=program(b'(', b''.join(
        b'ca\nb%d\n' % i for i in range(300_000)), b't'),
    colliding_keys=program(b'}(', b''.join(
        number(i * MERSENNE) + b'K\x01' for i in range(40_000)), b'u'),
    colliding_tuples=program(b'}(', b''.join(
        number(i * MERSENNE) + b'\x85K\x01' for i in range(40_000)), b'u'),
    many_numbers_as_keys=program(b'}(', b''.join(
        number(i * 64) + b'K\x01' for i in range(90_000)), b'u'),
    memory_far_away=program(b'}r\xff\xff\xff\x7f'),
    integer_of_gigabytes=program(b'\x8b\xff\xff\xff\x7f'),
    integer_of_megabytes=program(b'\x8b', struct.pack('<i', 30 << 20),
                                 b'\x01' * (30 << 20)),
    text_longer_than_the_file=program(b'X\xff\xff\xff\xffabc'),
    text_of_exabytes=program(b'\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc'),
    bytes_of_bytes=program(
        text('\xe9' * 1_000_000), b'q\x000(',
        b'c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R' * 1_000, b't'),
    dicts_of_one_list=program(
        b'](', b''.join(text(str(i)) + b'N\x86' for i in range(9_999)),
        b'eq\x000(', b'ccollections\nOrderedDict\nh\x00\x85R' * 9_999, b't'),
    nothing=b'',
    no_end=b'\x80\x02}',
    below_the_stack=program(b'0000'),
    mark_below_the_stack=program(b'((01t'),
    no_mark=program(b't'),
    protocol_0=pickle.dumps([1], 0),
    extension=program(b'\x82\x01'),
    unhashable=program(b'}]K\x01s'),
    append_to_a_text=program(text('a'), b'K\x01a'),
    name_without_an_end=program(b'c', b'a' * 1000),
)
for _name, _data in PROGRAMS.items():
    FILES[_name] = lambda _, data=_data: archive(data, packed=True)
    FILES[f'{_name}_old'] = lambda _, data=_data: old_format(data)


@crafted
def list_within_itself(_: Path) -> bytes:
    ring: list = []
    ring += [ring] * 9
    return pickled({**content(), 'meta': dict(cfg=ring)})


@crafted
def lists_of_lists(_: Path) -> bytes:
    laughs: list = ['ha']
    for _number in range(15):
        laughs = [laughs] * 10
    return pickled({**content(), 'meta': dict(cfg=laughs)})


@crafted
def kept_text_layers_without_strides(_: Path) -> bytes:
    large = torch.zeros(1).expand(1 << 16, 1 << 15)
    about = dict(format='rep_linear', num_classes=3, num_guide=3,
                 embed_dims=6, classes=('a', 'b', 'c'),
                 text_layers={'neck.x.guide_fc.weight': large})
    return pickled({**content(), 'meta': {META_KEY: about}})


@crafted
def one_tensor_under_many_names(_: Path) -> bytes:
    whole = torch.zeros(1 << 20)
    return pickled(dict(state_dict={f'neck.{i}': whole for i in range(99)}))


@crafted
def many_views_of_one_storage(_: Path) -> bytes:
    whole = torch.zeros(1 << 20)
    return pickled(dict(
        state_dict={f'neck.{i}': whole[:-i] for i in range(1, 99)}))


@crafted
def packed_zeros(_: Path) -> bytes:
    return archive(state_dict(tensor((1 << 25, ), count=1 << 25)),
                   packed=True, more={'data/0': bytes(1 << 27)})


@crafted
def gzip_cut(_: Path) -> bytes:
    return gzip.compress(pickled(content()))[:5]


@crafted
def gzip_whole(_: Path) -> bytes:
    return gzip.compress(pickled(content()))


@crafted
def gzip_tar_with_a_name_of_gigabytes(_: Path) -> bytes:
    info = tarfile.TarInfo('././@LongLink')
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2 << 30
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


@crafted
def tar(_: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as made:
        made.addfile(tarfile.TarInfo('storages'))
    return buffer.getvalue()


# --- lies about tensors

TENSORS = dict(
    tensor_without_strides=tensor((1 << 20, 1 << 20), (0, 0)),
    tensor_behind_the_end=tensor((4, ), (1, ), 1),
    tensor_of_large_strides=tensor((2, 2), (1 << 61, 1)),
    tensor_of_negative_strides=tensor((4, ), (-1, ), 3),
    tensor_of_negative_size=tensor((-4, ), (1, )),
    tensor_of_huge_size=tensor((1 << 62, 1 << 62), (0, 0)),
    tensor_of_many_axes=tensor((1, ) * 99, (1, ) * 99),
    tensor_of_other_axes=tensor((2, 2), (1, )),
    storage_elsewhere=tensor(key='../../../etc/passwd'),
    storage_absent=tensor(key='1'),
    storage_that_is_the_pickle=tensor(key='../data.pkl'),
    storage_of_many=tensor(count=1 << 50),
    storage_of_few=tensor(count=2),
    storage_of_negative=tensor(count=-4),
    storage_of_another_type=tensor(kind='DoubleStorage'),
    storage_of_complex=tensor(kind='ComplexFloatStorage', count=2),
    storage_of_a_quantized=tensor(kind='QInt8Storage', count=16),
    storage_of_a_class=tensor(kind='load'),
    not_a_storage=tensor(first='module'),
    not_an_identifier=b']Q',
    two_types_of_one_storage=b''.join((
        tensor(), b's', text('neck.y'), tensor(kind='LongStorage', count=4))),
)
for _name, _data in TENSORS.items():
    FILES[_name] = lambda _, data=_data: with_data(data)
    FILES[f'{_name}_old'] = lambda _, data=_data: old_format(
        state_dict(data), pickle.dumps(['0'], 2) + struct.pack('<q', 4)
        + bytes(16))


@crafted
def sparse(_: Path) -> bytes:
    return pickled(dict(state_dict={'neck.x': torch.eye(3).to_sparse()}))


@crafted
def old_format_of_many(_: Path) -> bytes:
    return old_format(state_dict(tensor()), pickle.dumps(['0'], 2)
                      + struct.pack('<q', 1 << 60) + bytes(16))


@crafted
def old_format_of_other_storages(_: Path) -> bytes:
    return old_format(state_dict(tensor()), pickle.dumps(['1', '0', '0'], 2)
                      + struct.pack('<q', 4) + bytes(16))


# --- lies about the archive

def _changed(at: int, form: str, *values: int, entry: int = -1,
             data: Optional[bytes] = None) -> bytes:
    """An archive with other numbers in an entry of its directory."""
    changed = bytearray(data or with_data(tensor()))
    places = []
    place = changed.find(b'PK\x01\x02')
    while place >= 0:
        places.append(place)
        place = changed.find(b'PK\x01\x02', place + 1)
    struct.pack_into(form, changed, places[entry] + at, *values)
    return bytes(changed)


def _appended(name: str, data: bytes) -> bytes:
    import warnings
    buffer = io.BytesIO(with_data(tensor()))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with zipfile.ZipFile(buffer, 'a') as made:
            made.writestr(name, data)
    return buffer.getvalue()


ARCHIVES = dict(
    entries_of_one_name=lambda: _appended('m/data/0', bytes(16)),
    entries_that_overlap=lambda: _changed(42, '<L', 0),
    entry_of_another_size=lambda: _changed(24, '<L', 1 << 30, entry=2),
    entry_of_another_checksum=lambda: _changed(16, '<L', 1, entry=2),
    entry_packed_otherwise=lambda: _changed(10, '<H', 12, entry=2),
    entry_encrypted=lambda: _changed(8, '<H', 1, entry=2),
    entry_without_its_wide_size=lambda: _changed(
        24, '<L', 0xffffffff, entry=2),
    directory_of_many=lambda: with_data(tensor())[:-14] + struct.pack(
        '<2H2LH', 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0),
    bytes_before=lambda: b'#!/bin/sh\n' + with_data(tensor()),
    bytes_after=lambda: with_data(tensor()) + bytes(9),
    a_comment=lambda: with_data(tensor())[:-2] + b'\x03\x00abc',
    cut=lambda: with_data(tensor())[:-9],
    two_folders=lambda: _appended('n/data.pkl', pickle.dumps({}, 2)),
    constants=lambda: _appended('m/constants.pkl', pickle.dumps((), 2)),
    no_pickle=lambda: archive(b'').replace(b'data.pkl', b'data.pkx'),
    other_byte_order=lambda: archive(
        state_dict(tensor()), more={'data/0': bytes(16)}, order='big'),
)
for _name, _make in ARCHIVES.items():
    FILES[_name] = lambda _, make=_make: make()


def _wide(record: bytes, offset: int, value: int) -> bytes:
    """A number of the directory of 64 bits is not as that of 32 has it."""
    changed = bytearray(pickled(content()))
    struct.pack_into('<Q', changed, changed.rfind(record) + offset, value)
    return bytes(changed)


FILES['wide_directory_elsewhere'] = lambda _: _wide(b'PK\x06\x06', 48, 0)
FILES['wide_directory_farther_on'] = lambda _: _wide(b'PK\x06\x07', 8, 9)


# --- safetensors

def safe(header: bytes, data: bytes = b'', length: Optional[int] = None
         ) -> bytes:
    """A file of safetensors by hand."""
    size = len(header) if length is None else length
    return struct.pack('<Q', size) + header + data


SAFE = dict(
    header_of_exabytes=safe(b'{}', length=1 << 62),
    header_longer_than_the_file=safe(b'{}', length=999),
    header_cut=safe(b'{"a":{"dtype":"F32"', b'', 9),
    header_nested=safe(b'{"a":' + b'[' * 99_999 + b']' * 99_999 + b'}'),
    tensor_outside=safe(b'{"a":{"dtype":"F32","shape":[4],'
                        b'"data_offsets":[0,16]}}', bytes(8)),
    tensor_of_another_shape=safe(b'{"a":{"dtype":"F32","shape":[9],'
                                 b'"data_offsets":[0,16]}}', bytes(16)),
    tensors_that_overlap=safe(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
        b'"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        bytes(16)),
    tensor_of_an_unknown_type=safe(b'{"a":{"dtype":"X9","shape":[4],'
                                   b'"data_offsets":[0,16]}}', bytes(16)),
    tensor_of_complex=safe(b'{"a":{"dtype":"C64","shape":[2],'
                           b'"data_offsets":[0,16]}}', bytes(16)),
    shape_of_exabytes=safe(b'{"a":{"dtype":"F32","shape":[4294967296,'
                           b'4294967296],"data_offsets":[0,16]}}',
                           bytes(16)),
    meta_nested=safe(b'{"__metadata__":{"meta":"' + b'[' * 50_000 + b'"}}'),
    meta_nested_and_whole=safe(
        b'{"__metadata__":{"meta":"{\\"a\\":' + b'[' * 900 + b']' * 900
        + b'}"}}'),
    meta_of_another_kind=safe(b'{"__metadata__":{"meta":"3"}}'),
    meta_of_absent_tensors=safe(
        b'{"__metadata__":{"meta":"{\\"a\\":{\\"__tensor__\\":\\"b\\"}}"}}'),
    bytes_behind=safe(b'{"a":{"dtype":"F32","shape":[4],'
                      b'"data_offsets":[0,16]}}', bytes(17)),
    no_tensors=safe(b'{}'),
)
for _name, _data in SAFE.items():
    FILES[f'safetensors_{_name}'] = lambda _, data=_data: data

#: Those that torch, or Python's pickle, takes for more than data.
NAMED = ('second_directory', 'allocator', 'nested_key', 'gzip_cut',
         'marker_1_top_new', 'kept_text_layers_without_strides',
         'gzip_tar_with_a_name_of_gigabytes', 'empty_sets',
         'classes_by_name', 'colliding_keys', 'marker_3_state_old',
         'torchscript_alone')
