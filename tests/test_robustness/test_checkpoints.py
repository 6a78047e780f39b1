"""Checkpoints that are broken, odd or hostile."""
import io
import re
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hostile import attempt, damages, edits, inputs, scratch
from hostile_checkpoints import (
    NAMES,
    WIDTH,
    Odd,
    expected_folds,
    hostile_objects,
    legacy,
    pickled,
    repacked,
    spoils,
    text_conditioned,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st

from yolo_world_rep.reparam import (
    META_KEY,
    convert_checkpoint,
    load_checkpoint,
)
from yolo_world_rep.reparam.editing import edit_checkpoint
from yolo_world_rep.reparam.inspection import inspect_checkpoint
from yolo_world_rep.reparam.interpolation import (
    interpolate_checkpoints,
    interpolate_state_dict,
)
from yolo_world_rep.text import save_embeddings

STATE = text_conditioned()
META = dict(epoch=3, iter=9)


def content(state=None, meta=META):
    return dict(state_dict=STATE if state is None else state, meta=meta)


def convert(surface, folder, data, rows=None, state=STATE, name='m.pth',
            **options):
    """Convert bytes; where it works, compare with the equations."""
    rows = texts() if rows is None else rows
    (folder / name).write_bytes(data)
    np.save(folder / 't.npy', rows)

    def check(result):
        found = torch.load(result.path, weights_only=True)['state_dict']
        bare = {re.sub(r'^module\.', '', key): value
                for key, value in state.items()}
        expected = expected_folds(bare, rows)
        for key, value in expected.items():
            np.testing.assert_allclose(
                found[key].double().numpy(), value, rtol=2e-2, atol=2e-2)
        for key in set(found) - set(expected):
            torch.testing.assert_close(
                found[key], bare[key], rtol=0, atol=0, equal_nan=True)

    return attempt(
        surface,
        lambda: convert_checkpoint(folder / name, folder / 't.npy',
                                   folder / 'out', 'rep_linear', **options),
        folder, folder / 'out', names=[name, 't.npy'], check=check)


class TestConverter:

    @inputs()
    @given(spoil=spoils(), wrapped=st.booleans())
    def test_state_dicts(self, spoil, wrapped):
        state = spoil(STATE)
        with scratch() as folder:
            convert('converter: tensors', folder,
                    pickled(content(state) if wrapped else state),
                    state=state)

    @inputs()
    @given(damage=damages(), old=st.booleans(),
           name=st.sampled_from(['m.pth', 'm.npy', 'm', 'm.zip', '.pth']))
    def test_bytes(self, damage, old, name):
        """What loads has the weights that were written, bit by bit."""
        data = (legacy if old else pickled)(content())
        spoiled = damage(data)
        with scratch() as folder:
            if old:  # has no checksums: weights can be any
                (folder / name).write_bytes(spoiled)
                attempt('checkpoint bytes, before torch 1.6',
                        lambda: inspect_checkpoint(folder / name), folder,
                        names=[name])
            else:
                convert('checkpoint bytes', folder, spoiled, name=name)

    @inputs()
    @given(damage=damages())
    def test_pickle_of_a_sound_archive(self, damage):
        data = repacked(pickled(content()), damage)
        with scratch() as folder:
            (folder / 'm.pth').write_bytes(data)
            attempt('checkpoint pickle',
                    lambda: inspect_checkpoint(folder / 'm.pth'), folder,
                    names=['m.pth'])

    @inputs()
    @given(make=hostile_objects(), old=st.booleans(),
           where=st.sampled_from(['meta', 'state', 'key', 'top', 'beside']))
    def test_code(self, make, old, where):
        with scratch() as folder:
            bad = make(folder / 'marker')
            whole = content()
            if where == 'meta':
                whole['meta'] = bad
            elif where == 'state':
                whole['state_dict'] = {**STATE, 'neck.x': bad}
            elif where == 'key':
                whole['meta'] = dict(epoch=bad, dataset_meta=bad,
                                     **{META_KEY: bad})
            elif where == 'top':
                whole = bad
            else:
                whole['optimizer'] = bad
            convert('checkpoint that runs code', folder,
                    (legacy if old else pickled)(whole))

    @inputs()
    @given(data=st.data())
    def test_embeddings(self, data):
        from hypothesis.extra import numpy as arrays
        shape = data.draw(st.one_of(
            st.tuples(st.integers(0, 4), st.just(WIDTH)),
            arrays.array_shapes(min_dims=0, max_dims=3, max_side=7)))
        dtype = data.draw(st.sampled_from(
            ['f2', 'f4', 'f8', '>f4', 'i1', 'u8', '?', 'c8', 'U3', 'M8[s]']))
        rows = data.draw(arrays.arrays(dtype, shape))
        neck = data.draw(st.sampled_from(['rep_conv', 'rep_linear', 'text']))
        with scratch() as folder:
            (folder / 'm.pth').write_bytes(pickled(content()))
            np.save(folder / 't.npy', rows)

            def check(result):
                assert result.meta[META_KEY]['num_classes'] == len(rows)
                found = torch.load(result.path, weights_only=True)
                expected = expected_folds(STATE, rows.astype('f4'))
                for key, value in found['state_dict'].items():
                    if key in expected:
                        np.testing.assert_allclose(
                            value.numpy(), expected[key], rtol=1e-3,
                            atol=1e-3 * np.abs(expected[key]).max())

            attempt('converter: embeddings',
                    lambda: convert_checkpoint(
                        folder / 'm.pth', folder / 't.npy', folder / 'out',
                        neck, norms='keep'),
                    folder, folder / 'out', check=check)


def folded(folder, state=STATE, rows=None, names=NAMES):
    """A folded checkpoint, and what it holds."""
    rows = texts() if rows is None else rows
    torch.save(content(state), folder / 'source.pth')
    save_embeddings(folder / 'own.npy', rows, names)
    path = convert_checkpoint(folder / 'source.pth', folder / 'own.npy',
                              folder / 'made').path
    return torch.load(path, weights_only=True)


class TestFolded:

    @inputs()
    @given(edit=edits(), spoil=st.one_of(st.none(), spoils()),
           keep=st.one_of(st.none(), st.lists(
               st.sampled_from([*NAMES, 'bird']), max_size=3)),
           add=st.booleans())
    def test_edit(self, edit, spoil, keep, add):
        """Another meta, other tensors: right rows or none."""
        with scratch() as folder:
            sound = folded(folder)
            meta = edit(sound['meta'])
            state = sound['state_dict']
            torch.save(
                content(spoil(state) if spoil else state, meta),
                folder / 'm.pth')
            save_embeddings(folder / 'new.npy', texts(1, 5), ['owl'])
            out = folder / 'out' / 'e.pth'

            def check(result):
                found = torch.load(out, weights_only=True)['state_dict']
                kept = range(len(NAMES)) if keep is None else [
                    list(NAMES).index(name) for name in keep]
                key = next(key for key in found
                           if key.endswith('.conv.weight')
                           and 'cls_contrasts' in key)
                assert len(found[key]) == len(kept) + add
                if spoil is None:
                    assert torch.equal(found[key][:len(kept)],
                                       state[key][list(kept)])

            attempt('vocabulary editing',
                    lambda: edit_checkpoint(
                        folder / 'm.pth', out, keep,
                        folder / 'new.npy' if add else None), folder,
                    folder / 'out', check=check)

    @inputs()
    @given(edit=edits(), spoil=spoils(), is_folded=st.booleans())
    def test_inspect(self, edit, spoil, is_folded):
        import json
        with scratch() as folder:
            sound = folded(folder) if is_folded else content()
            torch.save(
                content(spoil(sound['state_dict']),
                        edit(dict(sound['meta']))), folder / 'm.pth')
            attempt('inspection',
                    lambda: json.dumps(
                        inspect_checkpoint(folder / 'm.pth')), folder,
                    names=['m.pth'])

    @inputs()
    @given(edit=edits(), spoil=spoils(), first=st.booleans(),
           alpha=st.floats() | st.sampled_from([0., 1., 0.3]))
    def test_interpolate(self, edit, spoil, first, alpha):
        with scratch() as folder:
            sound = folded(folder)
            other = content(spoil(sound['state_dict']),
                            edit(dict(sound['meta'])))
            pair = (other, sound) if first else (sound, other)
            for name, each in zip('ab', pair):
                torch.save(each, folder / f'{name}.pth')
            out = folder / 'out' / 'i.pth'

            def check(result):
                found = torch.load(out, weights_only=True)['state_dict']
                before, after = (each['state_dict'] for each in pair)
                for key, value in found.items():
                    if not value.is_floating_point():
                        continue
                    # Wrappers may have put names before it, more than one.
                    a, b = (next(each[name] for name in each
                                 if f'.{name}'.endswith(f'.{key}'))
                            for each in (before, after))
                    expected = (1 - alpha) * a.double() + alpha * b.double()
                    sound_rows = expected.isfinite()
                    torch.testing.assert_close(
                        value.double()[sound_rows], expected[sound_rows],
                        rtol=1e-2, atol=1e-2)

            attempt('interpolation',
                    lambda: interpolate_checkpoints(
                        folder / 'a.pth', folder / 'b.pth', alpha, out),
                    folder, folder / 'out', check=check)


def opcodes(*parts):
    """A pickle by hand."""
    return b'\x80\x02' + b''.join(parts) + b'.'


def packed(data):
    """An archive of torch with another pickle in it."""
    return repacked(pickled(content()), lambda _: data)


def refused(tmp_path, data, message):
    path = tmp_path / 'm.pth'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


class TestBombs:
    """Few bytes that stand for many."""

    def test_archive_that_declares_more_than_the_budget(self, tmp_path):
        data = repacked(
            pickled(content()), lambda _: bytes(200 << 20), 'data/0',
            compression=zipfile.ZIP_DEFLATED)
        assert len(data) < 1 << 20
        refused(tmp_path, data, 'declares 209,.*fill the memory')

    def test_tensors_of_one_number_repeated(self, tmp_path):
        large = torch.zeros(1).expand(10**9, 10**3)
        refused(tmp_path, pickled(content({**STATE, 'neck.x': large})),
                'tensors would take 4,000,.*fill the memory')

    def test_many_views_of_one_storage(self, tmp_path):
        whole = torch.zeros(1 << 20)
        state = {f'neck.{i}': whole[:-i] for i in range(1, 99)}
        refused(tmp_path, pickled(content(state)), 'tensors would take')

    def test_tables_sized_by_the_file(self, tmp_path):
        """The unpickler in C would take 34 GB for this one."""
        refused(tmp_path, packed(opcodes(b'}r\xff\xff\xff\x7f')),
                'out of line')

    def test_lists_of_lists(self, tmp_path):
        laughs = ['ha']
        for _ in range(15):
            laughs = [laughs] * 10
        refused(tmp_path, pickled(content(meta=dict(cfg=laughs))),
                'more than 300000 values')

    def test_list_within_itself(self, tmp_path):
        ring = []
        ring += [ring] * 9
        refused(tmp_path, pickled(content(meta=dict(cfg=ring))),
                'more than 300000 values')

    def test_nested_without_end(self, tmp_path):
        refused(tmp_path, packed(opcodes(b']' * 10**6, b'a' * 10**6)),
                'more than 1,000,000 opcodes')


class TestWhatFilesMayNotDo:

    def test_attributes_of_functions_and_classes(self, tmp_path):
        """Of torch's, which stay changed in the process."""
        for name in (b'torch._utils\n_rebuild_tensor_v2',
                     b'collections\nOrderedDict',
                     b'torch\nFloatStorage'):
            path = tmp_path / 'm.pth'
            path.write_bytes(packed(opcodes(
                b'c', name, b'\n', b'N}X\x05\x00\x00\x00hacks\x88s\x86b0}')))
            with pytest.raises(ValueError, match='no tensors'):
                load_checkpoint(path)
        assert not hasattr(torch._utils._rebuild_tensor_v2, 'hacks')

    def test_methods_of_a_dict(self, tmp_path):
        """A file may not hide what its dict holds."""
        state = Odd((OrderedDict, (list(STATE.items()), ),
                     dict(items='hidden', get='hidden')))
        (tmp_path / 'm.pth').write_bytes(pickled(content(state)))
        found = load_checkpoint(tmp_path / 'm.pth').state_dict
        assert found.keys() == STATE.keys()

    def test_tar_archives(self, tmp_path):
        with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
            tar.addfile(tarfile.TarInfo('storages'))
        refused(tmp_path, (tmp_path / 'x.tar').read_bytes(), 'tar archive')

    def test_two_entries_of_one_name(self, tmp_path):
        buffer = io.BytesIO(pickled(content()))
        with zipfile.ZipFile(buffer, 'a') as archive:
            name = archive.namelist()[0]
            with pytest.warns(UserWarning, match='Duplicate'):
                archive.writestr(name, archive.read(name))
        refused(tmp_path, buffer.getvalue(), 'entries of the same name')


def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path):
    """torch loads it without a word."""
    data = bytearray(pickled(content()))
    name = 'backbone.image_model.stem.conv.weight'
    data[data.find(STATE[name].numpy().tobytes()) + 400] ^= 1
    found = torch.load(io.BytesIO(data), weights_only=True)['state_dict']
    assert not torch.equal(found[name], STATE[name])
    refused(tmp_path, bytes(data), r'checksum of .*data/\d+')


def test_bytes_between_the_entries_are_noticed(tmp_path):
    """Python's reader of archives corrects for them, torch's does not."""
    data = pickled(content())
    middle = len(data) // 2
    refused(tmp_path, data[:middle] + b'hello' + data[middle:],
            'bytes were added')


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    key = 'neck.top_down_layers.0.attn_block.guide_fc.bias'
    torch.save(content({**STATE, key: STATE[key] * float('nan')}),
               tmp_path / 'm.pth')
    np.save(tmp_path / 't.npy', texts())
    with pytest.raises(ValueError, match=f'm.pth: .*{key} has NaN'):
        convert_checkpoint(tmp_path / 'm.pth', tmp_path / 't.npy',
                           tmp_path / 'out')


def test_ends_of_an_interpolation_are_exact(tmp_path):
    before, after = ({key: each.clone() for key, each in STATE.items()}
                     for _ in range(2))
    before['neck.x'] = torch.tensor([1e30, float('inf'), 0.1])
    after['neck.x'] = torch.tensor([1e-30, 1., 0.3])
    for alpha, end in ((0, before), (1, after)):
        found = interpolate_state_dict(before, after, alpha)
        assert torch.equal(found['neck.x'], end['neck.x'])
