"""An encoder of words that needs no weights."""
import hashlib
import re
from typing import List, Sequence

import numpy as np

_WORD = re.compile(r'\w+')


class WordEncoder:
    r"""Embeds a text as the normalised sum of the vectors of its words.

    Every word has a fixed vector of random signs, read from a hash of the
    word and so the same on every machine. Two words are nearly orthogonal,
    and two texts as close as the share of words that they have in common:
    :math:`\cos(\text{red circle}, \text{red square}) \approx 1/2`. A model
    that has learned 'red' from squares and 'circle' from blue ones can
    recognise a red circle that it was never shown.

    Args:
        dim (int): Width of the vectors. Defaults to 512, as CLIP's.
        seed (int): Chooses another set of word vectors. Defaults to 0.

    Raises:
        ValueError: If ``dim`` is not positive.
    """

    def __init__(self, dim: int = 512, seed: int = 0) -> None:
        if dim < 1:
            raise ValueError(
                f'dim={dim}: the width of a word vector must be positive')
        self.dim = dim
        self.seed = seed
        self.name = f'words:{dim}:{seed}'

    def words(self, text: str) -> List[str]:
        """The words of a text, in lower case.

        A text without a letter or digit, such as the padding, is one word.
        """
        return _WORD.findall(text.lower()) or [text]

    def word_vector(self, word: str) -> np.ndarray:
        """Signs of one word, float32, shape (dim, )."""
        digest = hashlib.shake_256(f'{self.seed}:{word}'.encode()).digest(
            (self.dim + 7) // 8)
        bits = np.unpackbits(np.frombuffer(digest, np.uint8))[:self.dim]
        return bits.astype(np.float32) * 2 - 1

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit rows (N, dim), float32, of N texts.

        Raises:
            ValueError: If a single string is given in place of a list, or
                ``dim`` is so small that a text's words cancel out.
        """
        if isinstance(texts, str):
            raise ValueError(f'texts={texts!r}: expected a list of texts, got '
                             f'one string; give [{texts!r}]')
        sums = np.zeros((len(texts), self.dim), np.float64)
        for row, text in zip(sums, texts):
            for word in self.words(text):
                row += self.word_vector(word)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        # Two words of opposite signs throughout cancel; of many numbers
        # that never happens.
        empty = (norms[:, 0] == 0).nonzero()[0]
        if len(empty):
            raise ValueError(
                f'dim={self.dim}: the words of {texts[empty[0]]!r} cancel '
                f'each other out; take more numbers, such as 512.')
        return (sums / norms).astype(np.float32)
