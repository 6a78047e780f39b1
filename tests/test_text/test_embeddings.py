import json
import os

import numpy as np
import pytest

from yolo_world_rep.text import load_embeddings, save_embeddings


def _save(path, array, **kwargs):
    np.save(path, array, **kwargs)
    return path


def test_round_trip_keeps_vectors_names_and_hash(tmp_path):
    vectors = np.random.RandomState(0).randn(3, 8).astype(np.float32)
    saved = save_embeddings(
        tmp_path / 'new' / 'words.npy',
        vectors, ('a', 'b', 'ç'),
        prompts=['an a', 'a b', 'a ç'],
        encoder='test')

    loaded = load_embeddings(tmp_path / 'new' / 'words.npy')

    np.testing.assert_array_equal(loaded.vectors, vectors)
    assert loaded.names == ('a', 'b', 'ç')
    assert loaded.sha256 == saved.sha256
    sidecar = json.loads((tmp_path / 'new' / 'words.json').read_text('utf-8'))
    assert sidecar['prompts'] == ['an a', 'a b', 'a ç']
    assert sidecar['encoder'] == 'test'
    # No temporary file stays behind.
    assert sorted(os.listdir(tmp_path / 'new')) == ['words.json', 'words.npy']


def test_saving_twice_gives_the_same_hash(tmp_path):
    vectors = np.eye(2)
    first = save_embeddings(tmp_path / 'a.npy', vectors, ['ab', 'c'])
    second = save_embeddings(tmp_path / 'b.npy', vectors, ['ab', 'c'])
    assert first.sha256 == second.sha256


@pytest.mark.parametrize('dtype', ['float16', 'float64', 'int32'])
def test_other_numeric_types_are_cast(tmp_path, dtype):
    path = _save(tmp_path / 'e.npy', np.eye(4, dtype=dtype))
    loaded = load_embeddings(path)
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, np.eye(4))
    assert loaded.names is None


@pytest.mark.parametrize('array, message', [
    (np.zeros(4), r'shape \(4,\).*two dimensions'),
    (np.zeros((2, 3, 4)), 'two dimensions'),
    (np.zeros((0, 4)), 'at least one row'),
    (np.zeros((2, 4), bool), 'dtype bool'),
    (np.array([['a', 'b']]), 'expected numbers'),
    (np.array([[1, 2], [np.nan, 3]]), '1 of 2 rows.*row 1'),
    (np.array([[1e300, 0.]]), 'infinite values in float32'),
])
def test_array_that_is_no_embedding_is_refused(tmp_path, array, message):
    path = _save(tmp_path / 'e.npy', array)
    with pytest.raises(ValueError, match=message):
        load_embeddings(path)


def test_pickled_objects_are_never_loaded(tmp_path):

    class Bomb:

        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'), )

    path = _save(
        tmp_path / 'e.npy',
        np.array([[Bomb()]], dtype=object),
        allow_pickle=True)
    with pytest.raises(ValueError, match='cannot be loaded'):
        load_embeddings(path)
    assert not (tmp_path / 'executed').exists()


def test_files_that_are_no_npy_are_refused(tmp_path):
    with pytest.raises(ValueError, match='missing.npy.*cannot be read'):
        load_embeddings(tmp_path / 'missing.npy')
    (tmp_path / 'text.npy').write_text('0.1 0.2')
    with pytest.raises(ValueError, match='not a .npy file'):
        load_embeddings(tmp_path / 'text.npy')
    whole = _save(tmp_path / 'e.npy', np.eye(64)).read_bytes()
    for length in (7, 60, len(whole) - 1):
        (tmp_path / 'cut.npy').write_bytes(whole[:length])
        with pytest.raises(ValueError, match='cannot be loaded'):
            load_embeddings(tmp_path / 'cut.npy')


def test_names_may_be_a_list_of_class_texts(tmp_path):
    path = _save(tmp_path / 'e.npy', np.eye(2))
    (tmp_path / 'e.json').write_text('[["cat", "kitten"], ["dog"]]')
    assert load_embeddings(path).names == ('cat', 'dog')


def test_names_that_do_not_belong_are_refused(tmp_path):
    path = tmp_path / 'e.npy'
    save_embeddings(path, np.eye(2), ['cat', 'dog'])
    _save(path, np.eye(2)[::-1].copy())  # the array changes, names stay
    with pytest.raises(ValueError, match='written for another array'):
        load_embeddings(path)
    for content, message in (('["cat"]', '1 for 2 rows'),
                             ('{"classes": []}', 'no list under "names"'),
                             ('{"names": [1, 2]}', 'list of strings'),
                             ('{"names"', 'cannot be read')):
        (tmp_path / 'e.json').write_text(content)
        with pytest.raises(ValueError, match=message):
            load_embeddings(path)


@pytest.mark.parametrize('vectors, names, message', [
    (np.eye(2), ['cat'], '1 for 2 rows'),
    (np.eye(2), 'no', 'list of strings'),
    (np.full((2, 2), np.inf), ['cat', 'dog'], 'infinite'),
])
def test_nothing_is_written_when_saving_is_refused(tmp_path, vectors, names,
                                                   message):
    with pytest.raises(ValueError, match=message):
        save_embeddings(tmp_path / 'e.npy', vectors, names)
    assert not os.listdir(tmp_path)
    with pytest.raises(ValueError, match='must end in .npy'):
        save_embeddings(tmp_path / 'e.pth', np.eye(2), ['cat', 'dog'])


def test_real_embeddings_load(shared_data):
    loaded = load_embeddings(shared_data / 'embeddings' /
                             'coco80_clip_vit_b32.npy')
    assert loaded.vectors.shape == (80, 512)
    np.testing.assert_allclose(
        np.linalg.norm(loaded.vectors, axis=1), 1, atol=1e-3)
