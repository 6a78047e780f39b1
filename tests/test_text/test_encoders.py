"""From a vocabulary to unit vectors."""
import json

import numpy as np
import pytest

from yolo_world_rep.text import (
    CLIPEncoder,
    WordEncoder,
    check_vocabulary,
    embed_vocabulary,
    embed_words,
    encoders,
    load_class_texts,
    make_encoder,
)


@pytest.fixture(scope='module')
def clip(clip_folder):
    return CLIPEncoder(str(clip_folder), 'cpu', batch_size=3)


def test_clip_rows(clip):
    """Unit rows that do not depend on the batch they were encoded in."""
    texts = ['cat', 'red circle', 'dog', 'a longer text', 'bus']
    rows = clip.encode(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    alone = np.concatenate([clip.encode([text]) for text in texts])
    np.testing.assert_allclose(rows, alone, atol=1e-6)


def test_clip_is_the_model_itself(clip):
    """The rows are what the detector's text backbone computes."""
    import torch

    from yolo_world_rep.models.backbones import HuggingCLIPLanguageBackbone
    backbone = HuggingCLIPLanguageBackbone(clip.model.name_or_path).eval()
    with torch.no_grad():
        expected = backbone([['cat', 'red circle']])[0]
    np.testing.assert_allclose(
        clip.encode(['cat', 'red circle']), expected, atol=1e-6)


def test_long_texts_are_named(clip, monkeypatch):
    """A warning says which texts were cut off."""
    seen = []
    monkeypatch.setattr(encoders, 'print_log',
                        lambda message, *args: seen.append(message))
    rows = embed_vocabulary(clip, [['cat'], ['verylongword ' * 20]])
    assert np.isfinite(rows).all()
    assert len(seen) == 1
    assert '1 texts are longer than 77 tokens' in seen[0]
    assert 'verylongword' in seen[0]


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(model='/nowhere/at/all'), "'/nowhere/at/all'"),
    (dict(model=None), 'model is missing'),
    (dict(model='x', batch_size=0), 'batch_size=0'),
])
def test_bad_encoders(clip, kwargs, message, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(ValueError, match=message):
        make_encoder('clip', **kwargs)


def test_templates_and_synonyms_are_averaged():
    encoder = WordEncoder(dim=256)
    texts = [['sofa', 'couch'], ['cat']]
    formats = ['{}', 'a photo of a {}']
    rows = embed_vocabulary(encoder, texts, formats, 'mean')
    prompts = ['sofa', 'a photo of a sofa', 'couch', 'a photo of a couch']
    mean = encoder.encode(prompts).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(
        rows[0], mean / np.linalg.norm(mean), atol=1e-6)
    first = embed_vocabulary(encoder, texts)
    np.testing.assert_allclose(first, encoder.encode(['sofa', 'cat']),
                               atol=1e-6)


def test_order_across_chunks():
    """More classes than are encoded at once keep their order."""
    encoder = WordEncoder(dim=64)
    names = [f'class {i}' for i in range(600)]
    rows = embed_vocabulary(encoder, [[name] for name in names])
    np.testing.assert_allclose(rows, encoder.encode(names), atol=1e-6)


@pytest.mark.parametrize('template', ['a photo', '{} {}', '{', '{name}'])
def test_templates_need_one_place(template):
    with pytest.raises(ValueError, match='expected a text with one {}'):
        embed_vocabulary(WordEncoder(8), [['cat']], [template])


@pytest.mark.parametrize(('texts', 'message'), [
    ([['cat'], ['dog'], ['cat']], "'cat' names two classes, entries 0 and 2"),
    ([['cat'], ['  ']], 'entry 1 has an empty text'),
    ([['cat', '']], 'entry 0 has an empty text'),
])
def test_vocabularies_that_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        check_vocabulary(texts, 'classes.json')


@pytest.mark.parametrize(('name', 'content', 'expected'), [
    ('a.txt', 'cat\n red circle \n\n', [['cat'], ['red circle']]),
    ('a.json', json.dumps(
        dict(images=[], categories=[
            dict(id=7, name='cat'), dict(id=2, name='dog')
        ])), [['cat'], ['dog']]),
    ('b.json', '[["sofa", "couch"], ["cat"]]', [['sofa', 'couch'], ['cat']]),
])
def test_vocabulary_files(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_text(content)
    assert load_class_texts(path) == expected


def test_words_for_a_model(tmp_path, clip_folder):
    """The names, and the same with the padding of public models behind."""
    texts, padded = embed_words(['cat', 'red car'], 64, 'words')
    assert texts.names == ('cat', 'red car')
    assert padded.names == ('cat', 'red car', ' ')
    assert np.array_equal(padded.vectors[:2], texts.vectors)
    assert np.array_equal(texts.vectors,
                          WordEncoder(64).encode(['cat', 'red car']))
    (tmp_path / 'a.txt').write_text('cat\nred car\n')
    by_clip, _ = embed_words(['cat'], 64, str(clip_folder))
    assert by_clip.vectors.shape == (1, 64)
    with pytest.raises(ValueError, match='are 64 wide. Name the `encoder`'):
        embed_words(['cat'], 32, str(clip_folder))
    again, _ = embed_words(tmp_path / 'a.txt', 64, 'words')
    assert again.sha256 == texts.sha256 != padded.sha256


@pytest.mark.parametrize(('words', 'width', 'message'), [
    (['cat'], 33, '33 wide, as no CLIP of the public models'),
    (['cat', 'cat'], 512, "'cat' names two classes"),
    (['cat', ' '], 512, 'has an empty text'), ([], 512, 'are no words')])
def test_words_that_no_model_takes(words, width, message):
    with pytest.raises(ValueError, match=message):
        embed_words(words, width)


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch, capfd):
    """And the message says how to do without it."""
    for name in ('huggingface_hub.constants.ENDPOINT',
                 'huggingface_hub.file_download.constants.ENDPOINT'):
        monkeypatch.setattr(name, 'http://127.0.0.1:9')
    with pytest.raises(ValueError, match='hf download some/clip --local-dir'):
        CLIPEncoder('some/clip', 'cpu')
    assert 'Retry' not in ''.join(capfd.readouterr())
