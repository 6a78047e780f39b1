import subprocess
import sys

import numpy as np
import pytest

from yolo_world_rep.text import WordEncoder, words

TEXTS = ['red circle', 'red square', 'blue circle', 'green star']


def test_vectors_are_the_same_in_every_process_and_for_ever():
    vectors = WordEncoder(dim=64).encode(TEXTS)
    # hash() of a string differs between processes; this must not.
    code = ('import runpy, sys; '
            f'encoder = runpy.run_path({words.__file__!r})["WordEncoder"]; '
            f'sys.stdout.buffer.write(encoder(64).encode({TEXTS!r})'
            '.tobytes())')
    other = subprocess.run([sys.executable, '-c', code],
                           stdout=subprocess.PIPE,
                           check=True).stdout
    assert other == vectors.tobytes()
    # Written down: a model trained with these vectors needs them again.
    signs = WordEncoder(dim=8).word_vector('red')
    assert signs.tolist() == [-1, -1, 1, 1, -1, 1, 1, -1]


def test_similarity_is_the_share_of_common_words():
    vectors = WordEncoder(dim=4096).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    expected = [[1, .5, .5, 0], [.5, 1, 0, 0], [.5, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=0.06)


def test_combination_is_composed_from_its_words():
    encoder = WordEncoder(dim=32)
    parts = encoder.encode(['red', 'circle'])
    expected = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
    np.testing.assert_allclose(
        encoder.encode(['Red, circle!'])[0], expected, rtol=1e-6)


def test_texts_without_words_and_empty_lists_are_fine():
    encoder = WordEncoder(dim=32)
    assert encoder.encode([]).shape == (0, 32)
    np.testing.assert_allclose(
        np.linalg.norm(encoder.encode(['', '?'])), np.sqrt(2), rtol=1e-6)


def test_seeds_give_other_vectors():
    first, second = (WordEncoder(512, seed).encode(['cat'])[0]
                     for seed in (0, 1))
    assert abs(first @ second) < 0.2


def test_user_errors():
    with pytest.raises(ValueError, match='dim=0'):
        WordEncoder(dim=0)
    with pytest.raises(ValueError, match=r"give \['cat'\]"):
        WordEncoder().encode('cat')
    with pytest.raises(ValueError, match="dim=1: the words of 'a c' cancel"):
        WordEncoder(dim=1).encode(['a', 'a c'])
