"""Checkpoint files: what is read, refused and written."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import EFFICIENT, build_detector, randomize, text_state
from mmengine.logging import HistoryBuffer

from yolo_world_rep.reparam import (
    META_KEY,
    conversion,
    convert_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from yolo_world_rep.text import save_embeddings

NUM_TEXTS, WIDTH = 5, 64
NAMES = ['cat', 'dog', 'red circle', 'Zürich', '消火栓']


@pytest.fixture(scope='module')
def state_dict():
    return text_state(randomize(build_detector('text')))


@pytest.fixture
def model(tmp_path, state_dict):
    path = tmp_path / 'tiny.pth'
    torch.save(dict(state_dict=state_dict, meta=dict(epoch=3, iter=9)), path)
    return path


@pytest.fixture
def vectors():
    rows = np.random.default_rng(0).normal(size=(NUM_TEXTS, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32)


@pytest.fixture
def text_embed(tmp_path, vectors):
    path = tmp_path / 'texts.npy'
    np.save(path, vectors)
    return path


@pytest.fixture
def out_dir(tmp_path):
    return tmp_path / 'out'


def test_convert(model, text_embed, vectors, out_dir, state_dict):
    before = model.read_bytes()
    conversion = convert_checkpoint(model, text_embed, out_dir, 'rep_conv')
    assert conversion.path == out_dir / 'tiny_rep_conv.pth'
    assert os.listdir(out_dir) == ['tiny_rep_conv.pth']
    assert model.read_bytes() == before
    # A bare, safe load is enough for the result.
    content = torch.load(conversion.path, weights_only=True)
    assert content.keys() == {'state_dict', 'meta'}
    build_detector(
        'rep_conv',
        num_classes=NUM_TEXTS).load_state_dict(content['state_dict'])
    meta = content['meta'][META_KEY]
    assert meta['format'] == 'rep_conv'
    assert meta['head'] == 'bn'
    assert meta['num_classes'] == meta['num_guide'] == NUM_TEXTS
    assert meta['embed_dims'] == WIDTH
    assert meta['source']['file'] == 'tiny.pth'
    assert meta['source']['epoch'] == 3
    assert len(meta['source']['sha256']) == 64
    assert len(meta['embeddings']['sha256']) == 64
    assert meta['classes'] is None
    assert any('no names' in note for note in conversion.notes)


def test_names_of_the_sidecar(model, tmp_path, vectors, out_dir):
    path = tmp_path / 'named.npy'
    save_embeddings(path, vectors, NAMES)
    meta = convert_checkpoint(model, path, out_dir, 'rep_conv').meta
    assert meta['dataset_meta']['classes'] == tuple(NAMES)
    assert meta[META_KEY]['classes'] == tuple(NAMES)


def test_names_of_a_texts_file(model, text_embed, tmp_path, out_dir):
    texts = tmp_path / 'classes.json'
    texts.write_text(json.dumps([[name, 'synonym'] for name in NAMES]))
    meta = convert_checkpoint(
        model, text_embed, out_dir, 'rep_conv', texts=texts).meta
    assert meta['dataset_meta']['classes'] == tuple(NAMES)
    texts.write_text(json.dumps(NAMES[:-1]))
    with pytest.raises(ValueError, match='names 4 classes.*5 rows'):
        convert_checkpoint(
            model, text_embed, out_dir, 'rep_linear', texts=texts)


def test_training_checkpoint(state_dict, text_embed, tmp_path, out_dir):
    """mmengine's objects in the file are no obstacle and do not travel."""
    history = HistoryBuffer()
    history.update(1.5)
    path = tmp_path / 'epoch_3.pth'
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save(
        dict(
            state_dict=state_dict,
            ema_state_dict={k: v.clone() for k, v in state_dict.items()},
            optimizer=optimizer.state_dict(),
            message_hub=dict(log_scalars={'train/loss': history}),
            meta=dict(epoch=3, time=np.float64(2.0), hook=history)), path)
    with pytest.raises(Exception, match='[Ww]eights'):
        torch.load(path, weights_only=True)
    conversion = convert_checkpoint(path, text_embed, out_dir, 'rep_conv')
    content = torch.load(conversion.path, weights_only=True)
    assert content.keys() == {'state_dict', 'meta'}
    assert content['meta'][META_KEY]['source']['epoch'] == 3
    assert conversion.path.stat().st_size < path.stat().st_size * 0.6


class Hostile:
    """Unpickles by running a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker), )


def test_code_in_a_checkpoint_does_not_run(state_dict, tmp_path, text_embed,
                                           out_dir):
    marker = tmp_path / 'it ran'
    path = tmp_path / 'hostile.pth'
    torch.save(dict(state_dict=state_dict, meta=Hostile(marker)), path)
    convert_checkpoint(path, text_embed, out_dir, 'rep_conv')
    assert not marker.exists()
    load_checkpoint(path, trust=True)
    assert marker.exists(), 'the file would have run code'


def test_legacy_format(state_dict, tmp_path):
    """Files of before torch 1.6 are read by the same rules."""
    marker = tmp_path / 'it ran'
    path = tmp_path / 'old.pth'
    torch.save(
        dict(state_dict=state_dict, meta=Hostile(marker)),
        path,
        _use_new_zipfile_serialization=False)
    loaded = load_checkpoint(path).state_dict
    assert all(torch.equal(loaded[k], v) for k, v in state_dict.items())
    assert not marker.exists()


def test_bare_state_dict(state_dict, tmp_path, text_embed, out_dir):
    path = tmp_path / 'bare.pth'
    torch.save(state_dict, path)
    convert_checkpoint(path, text_embed, out_dir, 'rep_linear')


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def damage(path):
    data = bytearray(path.read_bytes())
    data[40:200] = bytes(160)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [(truncate, 'truncated or of another kind'),
     (damage, 'is damaged'),
     (lambda path: path.write_bytes(b''), 'truncated or of another kind'),
     (lambda path: path.write_text('hello'), 'truncated or of another kind'),
     (lambda path: path.unlink(), 'not a file'),
     (lambda path: torch.save([1, 2], path), 'holds a list'),
     (lambda path: torch.save({}, path), 'no tensors'),
     (lambda path: torch.save(dict(model=[1]), path), 'no tensors: .*model'),
     (lambda path: torch.jit.script(torch.nn.ReLU()).save(str(path)),
      'TorchScript')])
def test_not_a_checkpoint(model, text_embed, out_dir, spoil, message):
    spoil(model)
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(model, text_embed, out_dir)
    assert not out_dir.exists()


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_embeddings_are_cast(model, vectors, tmp_path, out_dir, dtype):
    path = tmp_path / 'cast.npy'
    np.save(path, vectors.astype(dtype))
    conversion = convert_checkpoint(model, path, out_dir)
    state_dict = torch.load(conversion.path, weights_only=True)['state_dict']
    assert {
        value.dtype
        for value in state_dict.values()
    } == {torch.float32, torch.int64}


@pytest.mark.parametrize('array', [
    np.zeros((0, WIDTH), np.float32),
    np.zeros(WIDTH, np.float32),
    np.full((2, WIDTH), np.nan, np.float32),
    np.ones((2, WIDTH + 1), np.float32),
    np.array([['a', 'b']]),
    np.array([[None]], dtype=object),
])
def test_embeddings_that_are_refused(model, tmp_path, out_dir, array):
    path = tmp_path / 'bad.npy'
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match='[Tt]ext embeddings'):
        convert_checkpoint(model, path, out_dir)
    assert not out_dir.exists()


def test_other_norms_than_1_are_refused(model, vectors, tmp_path, out_dir):
    """As CLIP gives them before they are divided: the neck would be ruined."""
    raw = tmp_path / 'raw.npy'
    lengths = np.linspace(8, 13, NUM_TEXTS, dtype=np.float32)
    np.save(raw, vectors * lengths[:, None])
    unit = np.load(raw).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.save(tmp_path / 'unit.npy', unit.astype(np.float32))
    for texts, neck in ((raw, None), (tmp_path / 'unit.npy', raw)):
        with pytest.raises(ValueError, match=(
                r'raw.npy has embeddings with norms of 8 to 13; .*'
                r'`norms=\'normalize\'` .* `norms=\'keep\'`')):
            convert_checkpoint(model, texts, out_dir, neck_text_embed=neck)
    assert not out_dir.exists()

    def folded(name, **options):
        path = convert_checkpoint(model, tmp_path / name, out_dir,
                                  overwrite=True, **options).path
        return torch.load(path, weights_only=True)['state_dict']

    expected = folded('unit.npy')
    found = folded('raw.npy', norms='normalize')
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    kept = folded('raw.npy', norms='keep')
    layer = 'neck.top_down_layers.0.attn_block.guide_convs.0.weight'
    assert (kept[layer] - expected[layer]).abs().max() > 0.1
    # The head divides by them all the same.
    head = 'bbox_head.head_module.cls_contrasts.0.conv.weight'
    torch.testing.assert_close(kept[head], expected[head])
    with pytest.raises(ValueError, match='norms=.divide.; expected one of'):
        folded('raw.npy', norms='divide')


def test_norms_are_of_no_matter_without_guides(vectors, tmp_path, out_dir):
    state = build_detector('text', block=dict(type=EFFICIENT)).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'm.pth')
    np.save(tmp_path / 'raw.npy', vectors * 9)
    convert_checkpoint(tmp_path / 'm.pth', tmp_path / 'raw.npy', out_dir)


def test_tuned_prompts_are_not_passed_over_silently(state_dict, vectors,
                                                    text_embed, tmp_path,
                                                    out_dir):
    path = tmp_path / 'tuned.pth'
    torch.save(
        dict(
            state_dict={
                **state_dict, 'embeddings': torch.from_numpy(vectors)
            }), path)
    notes = convert_checkpoint(path, text_embed, out_dir).notes
    assert any('tuned prompts' in note for note in notes)


@pytest.mark.parametrize('adapter', [False, True])
def test_own_texts_of_a_tuned_checkpoint(tmp_path, out_dir, adapter):
    """--text-embed checkpoint folds what prompt tuning has learnt."""
    model = randomize(
        build_detector(
            'text', num_classes=NUM_TEXTS, use_mlp_adapter=adapter))
    path = tmp_path / 'prompts.pth'
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=NAMES))), path)
    conversion = convert_checkpoint(path, 'checkpoint', out_dir, 'rep_conv')
    assert conversion.meta[META_KEY]['classes'] == tuple(NAMES)
    assert not any('tuned prompts' in note for note in conversion.notes)
    folded = build_detector('rep_conv', num_classes=NUM_TEXTS)
    folded.load_state_dict(
        torch.load(conversion.path, weights_only=True)['state_dict'])
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = model(image, mode='tensor')[0]
        found = folded(image, mode='tensor')[0]
    for level, value in enumerate(expected):
        torch.testing.assert_close(found[level], value, rtol=1e-4, atol=1e-4)


def test_own_texts_have_no_names_of_rows_folded_before(tmp_path, out_dir):
    """A meta can be of the folded model that a training began with."""
    model = build_detector('text', num_classes=NUM_TEXTS)
    path = tmp_path / 'prompts.pth'
    torch.save(
        dict(
            state_dict=randomize(model).state_dict(),
            meta={
                'dataset_meta': dict(classes=NAMES),
                META_KEY: dict(classes=('owl', ))
            }), path)
    meta = convert_checkpoint(path, 'checkpoint', out_dir).meta
    assert meta[META_KEY]['classes'] == tuple(NAMES)
    assert meta[META_KEY]['num_classes'] == NUM_TEXTS


def test_no_own_texts(model, out_dir):
    with pytest.raises(ValueError, match='no prompts of its own'):
        convert_checkpoint(model, 'checkpoint', out_dir)


def test_padding_is_the_necks_alone(model, vectors, tmp_path, out_dir):
    """N+1 guides, N classes; the padding shifts the neck as a text does."""
    path = tmp_path / 'texts.npy'
    save_embeddings(path, vectors, NAMES)
    padding = np.full((1, WIDTH), WIDTH**-0.5, np.float32)
    with pytest.raises(ValueError, match='texts_padded.npy does not exist'):
        convert_checkpoint(model, path, out_dir, pad=True)
    padded = tmp_path / 'texts_padded.npy'
    save_embeddings(padded, np.concatenate([vectors, padding]),
                    [*NAMES, ' '])
    conversion = convert_checkpoint(
        model, path, out_dir, 'rep_conv', pad=True)
    meta = conversion.meta[META_KEY]
    assert (meta['num_classes'], meta['num_guide']) == (5, 6)
    assert meta['neck_vocabulary'] == 'padded'
    state_dict = torch.load(conversion.path, weights_only=True)['state_dict']
    key = 'neck.top_down_layers.0.attn_block.guide_convs.0.weight'
    assert len(state_dict[key]) == 6
    head = 'bbox_head.head_module.cls_contrasts.0.conv.weight'
    assert len(state_dict[head]) == 5
    own = convert_checkpoint(
        model, path, tmp_path / 'own', 'rep_conv', neck_text_embed=padded)
    same = torch.load(own.path, weights_only=True)['state_dict']
    assert torch.equal(state_dict[key], same[key])
    assert own.meta[META_KEY]['neck_vocabulary'] == 'own'
    save_embeddings(padded, np.concatenate([vectors[::-1], padding]),
                    [*NAMES, ' '])
    with pytest.raises(ValueError, match='does not begin with the rows'):
        convert_checkpoint(model, path, out_dir, pad=True, overwrite=True)


def test_no_overwriting_unless_told(model, text_embed, out_dir):
    first = convert_checkpoint(model, text_embed, out_dir).path
    content = first.read_bytes()
    with pytest.raises(ValueError, match='exists.*`overwrite=True`'):
        convert_checkpoint(model, text_embed, out_dir)
    assert first.read_bytes() == content
    convert_checkpoint(model, text_embed, out_dir, overwrite=True)


def test_a_failed_write_leaves_nothing(model, text_embed, out_dir,
                                       monkeypatch):
    """Neither half a file nor a temporary one, and the old one is whole."""
    path = convert_checkpoint(model, text_embed, out_dir).path
    content = path.read_bytes()

    def full_disk(path, data):
        with open(path, 'wb') as file:
            file.write(data[:9])
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full_disk)
    with pytest.raises(OSError, match=f'^No space left .*{path} was not'):
        convert_checkpoint(model, text_embed, out_dir, overwrite=True)
    assert os.listdir(out_dir) == [path.name]
    assert path.read_bytes() == content


def test_a_failed_check_writes_nothing(model, text_embed, out_dir,
                                       monkeypatch):
    right = conversion.fold_texts

    def wrong(*args):
        converted = right(*args)
        key = 'bbox_head.head_module.cls_contrasts.2.conv.weight'
        return {**converted, key: converted[key] * 1.01}

    monkeypatch.setattr(conversion, 'fold_texts', wrong)
    with pytest.raises(ValueError, match=r'cls_contrasts\.2.*as stored'):
        convert_checkpoint(model, text_embed, out_dir)
    assert not out_dir.exists()


def test_safetensors(state_dict, model, text_embed, out_dir, tmp_path):
    """The same as a .pth: tensors, meta, and the layers kept in it."""
    path = convert_checkpoint(model, text_embed, out_dir).path
    folded = load_checkpoint(path)
    safe = tmp_path / 'folded.safetensors'
    save_checkpoint(safe, folded.state_dict, folded.meta)
    found = load_checkpoint(safe)
    assert all(torch.equal(found.state_dict[key], value)
               for key, value in folded.state_dict.items())
    assert found.state_dict.keys() == folded.state_dict.keys()
    before, after = (each.meta[META_KEY] for each in (folded, found))
    layers, kept = before.pop('text_layers'), after.pop('text_layers')
    assert all(torch.equal(kept[key], value)
               for key, value in layers.items())
    assert after == before
