"""Another vocabulary after folding, and after fine-tuning."""
import json

import numpy as np
import pytest
import torch
from builders import (
    build_detector,
    randomize,
    run_detector,
    text_state,
    worst_error,
)

from yolo_world_rep.reparam import (
    META_KEY,
    convert_checkpoint,
    description_of,
)
from yolo_world_rep.reparam.editing import (
    command_to_edit,
    edit_checkpoint,
    in_head,
)
from yolo_world_rep.text import WordEncoder, save_embeddings

WIDTH = 64
OLD = ('cat', 'dog', 'bus', 'tree')
NEW = ('red circle', 'blue star')
IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def vectors(names):
    """Rows that depend on the name alone."""
    rows = [
        np.random.default_rng(sum(map(ord, name))).normal(size=WIDTH)
        for name in names
    ]
    return np.stack([row / np.linalg.norm(row) for row in rows]).astype(
        np.float32)


class Folder:
    """Files of one vocabulary change."""

    def __init__(self, path, **kwargs):
        self.path = path
        model = randomize(build_detector('text', **kwargs))
        self.source = path / 'source.pth'
        torch.save(dict(state_dict=text_state(model)), self.source)

    def embed(self, names, padded=False):
        path = self.path / f'{"_".join(names)}.npy'
        save_embeddings(path, vectors(names), names)
        if padded:
            names = (*names, ' ')
            save_embeddings(
                str(path).replace('.npy', '_padded.npy'), vectors(names),
                names)
        return path

    def fold(self, names, form='rep_conv', pad=False):
        return convert_checkpoint(
            self.source,
            self.embed(names, pad),
            self.path / '_'.join(names),
            form,
            pad=pad).path

    def out(self, name='edited.pth'):
        return self.path / name


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def read(path):
    content = torch.load(path, weights_only=True)
    return content['state_dict'], content['meta'][META_KEY]


def tune(path):
    """A checkpoint as fine-tuning leaves it: every weight elsewhere."""
    content = torch.load(path, weights_only=True)
    generator = torch.Generator().manual_seed(5)
    content['state_dict'] = {
        key: value + 0.01 * torch.randn(value.shape, generator=generator)
        if value.is_floating_point() and 'running_var' not in key else value
        for key, value in content['state_dict'].items()
    }
    content.update(optimizer={}, ema_state_dict={})
    content['meta'].update(epoch=3, dataset_meta=dict(classes=OLD))
    tuned = path.with_name('tuned.pth')
    torch.save(content, tuned)
    return tuned


def test_words_in_place_of_embeddings(folder, tmp_path):
    """By their names, or by a file of them; the encoder makes the rows."""
    (tmp_path / 'names.txt').write_text('\n'.join(NEW))
    rows = WordEncoder(WIDTH).encode(NEW)
    save_embeddings(tmp_path / 'rows.npy', rows, NEW)
    old = folder.fold(OLD)
    for number, given in enumerate(
            (tmp_path / 'rows.npy', list(NEW), tmp_path / 'names.txt')):
        edit_checkpoint(old, folder.out(f'{number}.pth'), add=given,
                        encoder='words')
    found = [read(folder.out(f'{number}.pth')) for number in range(3)]
    for state_dict, about in found:
        assert about['classes'] == (*OLD, *NEW)
        for key, value in found[0][0].items():
            assert torch.equal(state_dict[key], value)


@pytest.mark.parametrize('change', ['add', 'replace'])
@pytest.mark.parametrize('form', ['rep_conv', 'text'])
def test_other_norms_than_1_are_refused(folder, change, form):
    folded = folder.fold(OLD, form)
    raw = folder.path / 'raw.npy'
    save_embeddings(raw, 9 * vectors(NEW), NEW)
    with pytest.raises(ValueError, match='raw.npy has embeddings with norms'):
        edit_checkpoint(folded, folder.out(), **{change: raw})
    assert not folder.out().exists()
    edit_checkpoint(folded, folder.out(), norms='normalize', **{change: raw})
    edit_checkpoint(folded, folder.out('unit.pth'),
                    **{change: folder.embed(NEW)})
    found, expected = (read(folder.out(name))[0]
                       for name in ('edited.pth', 'unit.pth'))
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, msg=key)
    edit_checkpoint(folded, folder.out('kept.pth'), norms='keep',
                    **{change: raw})


@pytest.mark.parametrize('dual', [None, dict(embed_channels=32, num_heads=4)],
                         ids=['v2', 'dual'])
@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear', 'text'])
@pytest.mark.parametrize('pad', [False, True])
def test_adding_equals_folding_the_union(tmp_path, form, pad, dual):
    """Before fine-tuning it is the same as folding all at once."""
    folder = Folder(tmp_path, dual=dual)
    old, union = (folder.fold(names, form, pad)
                  for names in (OLD, (*OLD, *NEW)))
    edit_checkpoint(old, folder.out(), add=folder.embed(NEW))
    (found, about), (expected, _) = read(folder.out()), read(union)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-7)
    assert about['classes'] == (*OLD, *NEW)
    assert about['num_classes'] == 6
    assert about['num_guide'] == 6 + pad
    assert about['history'][0]['added'] == 2


def test_the_result_is_a_model(folder):
    """Added and then reduced, it detects as a fresh fold of the same."""
    edit_checkpoint(
        folder.fold(OLD, pad=True), folder.out('a.pth'),
        add=folder.embed(NEW))
    edit_checkpoint(
        folder.out('a.pth'), folder.out(), keep=['blue star', 'dog'])
    outputs = []
    for path in (folder.out(), folder.fold(('blue star', 'dog'), pad=True)):
        state_dict, about = read(path)
        model = build_detector('rep_conv', num_classes=3)
        model.bbox_head = build_detector(
            'rep_conv', num_classes=2).bbox_head
        model.load_state_dict(state_dict)
        outputs.append(run_detector(model.double(), IMAGE.double()))
        assert about['classes'] == ('blue star', 'dog')
        assert about['num_guide'] == 3
    assert worst_error(*outputs) < 1e-6


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_tuned_rows_stay_bit_for_bit(folder, form):
    tuned = tune(folder.fold(OLD, form))
    edit_checkpoint(
        tuned, folder.out(), keep=['bus', 'cat'], add=folder.embed(NEW))
    before, after = read(tuned)[0], read(folder.out())[0]
    rows = torch.tensor([2, 0])
    axes = description_of(before).row_axes
    assert any(map(in_head, axes))
    assert not all(map(in_head, axes))
    for key, value in after.items():
        if key in axes:
            kept = value.narrow(axes[key], 0, 2)
            assert torch.equal(kept, before[key].index_select(axes[key], rows))
            assert value.shape[axes[key]] == 4
        else:
            assert torch.equal(value, before[key])
    content = torch.load(folder.out(), weights_only=True)
    assert content.keys() == {'state_dict', 'meta'}
    assert content['meta']['dataset_meta']['classes'] == ('bus', 'cat', *NEW)


def test_new_rows_come_through_the_kept_layers(folder):
    """After fine-tuning, a new class is folded as before it."""
    tuned = tune(folder.fold(OLD))
    edit_checkpoint(tuned, folder.out(), replace=folder.embed(NEW))
    found, fresh = read(folder.out())[0], read(folder.fold(NEW))[0]
    for key in description_of(fresh).row_axes:
        torch.testing.assert_close(found[key], fresh[key])


def test_wrong_rows_are_noticed(folder, monkeypatch):
    from yolo_world_rep.reparam import folding
    old = folder.fold(OLD)
    monkeypatch.setattr(folding, 'fold_contrast',
                        lambda text, scale, bias: (text[:, :, None, None],
                                                   bias.repeat(len(text))))
    with pytest.raises(ValueError, match='does not compute'):
        edit_checkpoint(old, folder.out(), add=folder.embed(NEW))
    assert not folder.out().exists()


def test_history_of_several_changes(folder):
    first, second = folder.out('1.pth'), folder.out('2.pth')
    edit_checkpoint(folder.fold(OLD), first, add=folder.embed(NEW))
    edit_checkpoint(first, second, keep=['blue star'])
    history = read(second)[1]['history']
    assert [step['added'] for step in history] == [2, 0]
    assert history[1]['kept'] == (5, )
    assert history[1]['source']['file'] == '1.pth'


def test_names_of_a_texts_file(folder):
    unnamed = folder.path / 'unnamed.npy'
    np.save(unnamed, vectors(NEW))
    texts = folder.path / 'names.json'
    texts.write_text(json.dumps(NEW))
    edit_checkpoint(folder.fold(OLD), folder.out(), add=unnamed, texts=texts)
    assert read(folder.out())[1]['classes'] == (*OLD, *NEW)


def test_other_names_and_another_order(folder):
    """The rows go with their names, the padding stays last."""
    old = folder.fold(OLD, pad=True)
    edit_checkpoint(
        old, folder.out(), drop=['bus'], add=folder.embed(NEW),
        rename=dict(cat='dog', dog='hound'),
        order=['blue star', 'hound', 'tree', 'red circle', 'dog'])
    edit_checkpoint(old, folder.out('plain.pth'), add=folder.embed(NEW))
    (found, about), (plain, _) = read(folder.out()), read(
        folder.out('plain.pth'))
    assert about['classes'] == ('blue star', 'hound', 'tree', 'red circle',
                                'dog')
    for key, axis in description_of(plain).row_axes.items():
        rows = torch.tensor([5, 1, 3, 4, 0] + [6] * (not in_head(key)))
        assert torch.equal(found[key], plain[key].index_select(axis, rows))


@pytest.mark.parametrize(('names', 'wanted', 'words'), [
    ('ab', 'ba', '--order b a'),
    ('abc', 'ca', '--keep c a'),
    ('ab', 'abc', '--add-words c'),
    ('abx', 'cab', '--keep a b --add-words c --order c a b'),
    ('xy', 'ab', '--replace-words a b'),
])
def test_the_command_for_other_classes(names, wanted, words):
    assert command_to_edit('m/f.pth', names, wanted) == (
        f'yolo-world-rep edit m/f.pth --out m/f_own.pth {words}')


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(keep=['cat'], drop=['dog']), '`keep` or `drop`'),
    (dict(drop=OLD), 'leaves no class'),
    (dict(rename=dict(cat='dog')), 'expected a name of its own'),
    (dict(rename=dict(cow='dog')), r"no classes named \['cow'\]"),
    (dict(order=['cat', 'dog', 'bus']), '`order` leaves out tree'),
    (dict(), 'Say what to change'),
    (dict(keep=['cow']), r"no classes named \['cow'\]"),
    (dict(keep=['cat', 'cat']), 'named twice'),
    (dict(add=OLD[:1]), r"added again: \['cat'\]"),
    (dict(add=NEW, replace=NEW), '`replace` alone'),
])
def test_refusals(folder, kwargs, message):
    kwargs = {
        key: folder.embed(value) if key in ('add', 'replace') else value
        for key, value in kwargs.items()
    }
    with pytest.raises(ValueError, match=message):
        edit_checkpoint(folder.fold(OLD), folder.out(), **kwargs)
    assert not folder.out().exists()


def test_other_checkpoints_are_refused(folder):
    with pytest.raises(ValueError, match='not a folded checkpoint'):
        edit_checkpoint(folder.source, folder.out(), keep=['cat'])
    content = torch.load(folder.fold(OLD), weights_only=True)
    del content['meta'][META_KEY]['text_layers']
    torch.save(content, folder.path / 'bare.pth')
    with pytest.raises(ValueError, match='does not keep the layers'):
        edit_checkpoint(
            folder.path / 'bare.pth', folder.out(), keep=['cat'])
    existing = folder.fold(NEW)
    with pytest.raises(ValueError, match='exists'):
        edit_checkpoint(existing, existing, keep=['red circle'])
