"""Embeddings files: an N x D array and, beside it, what its rows mean."""
import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from typing import Dict, Optional, Sequence, Tuple, Union

import numpy as np

from ..utils.files import is_text, parse_json, require_regular, write_together
from .names import class_names
from .vocabulary import check_class_texts

Path = Union[str, os.PathLike]
# Encoders of public models give rows of norm 1, up to rounding.
NORM_TOLERANCE = 1e-2
NORMS = ('refuse', 'normalize', 'keep')


@dataclass(frozen=True)
class TextEmbeddings:
    """Text embeddings with their origin.

    Args:
        vectors (np.ndarray): One row for each class, float32, shape (N, D),
            as the file has them: not normalised.
        names (Tuple[str, ...], optional): The N class names, if known.
        sha256 (str): Hash of the file's bytes, in hexadecimal.
        path (str): The file.
    """
    vectors: np.ndarray
    names: Optional[Tuple[str, ...]]
    sha256: str
    path: str


def computed(vectors: np.ndarray, names: Optional[Tuple[str, ...]],
             origin: str) -> TextEmbeddings:
    """Embeddings without a file; ``origin`` is what made them."""
    sha256 = hashlib.sha256(vectors.tobytes()).hexdigest()
    return TextEmbeddings(vectors, names, sha256, origin)


def for_guides(texts: TextEmbeddings, norms: str) -> TextEmbeddings:
    """Embeddings for a neck, which takes their norms as they are.

    Args:
        texts (TextEmbeddings): Those of the neck.
        norms (str): 'normalize' divides by the norms, 'keep' leaves them,
            'refuse' is a ValueError if one is not 1.
    """
    if norms not in NORMS:
        raise ValueError(f'norms={norms!r}; expected one of {NORMS}.')
    rows = texts.vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1  # folding refuses such rows by name
    if norms == 'normalize':
        return replace(texts, vectors=(rows / lengths).astype(np.float32))
    if norms == 'refuse' and (abs(lengths - 1) > NORM_TOLERANCE).any():
        raise ValueError(
            f'{texts.path} has embeddings with norms of {lengths.min():.3g} '
            f'to {lengths.max():.3g}; expected 1, as encoders of public '
            f'models give them: other norms change the attention in the '
            f'neck. Pass `norms=\'normalize\'` to divide by them, or '
            f'`norms=\'keep\'` if the model was trained with such norms.')
    return texts


def sidecar_path(path: Path) -> str:
    """The JSON file that may stand beside an embeddings file."""
    return os.path.splitext(os.fspath(path))[0] + '.json'


def load_embeddings(path: Path) -> TextEmbeddings:
    """Read a ``.npy`` file of text embeddings.

    Class names come from the file of the same name with the ending
    ``.json``, if there is one: either what :func:`save_embeddings` writes
    or a list of class texts.

    Args:
        path (str | os.PathLike): The ``.npy`` file.

    Returns:
        TextEmbeddings: The rows in float32, for any type in the file.

    Raises:
        ValueError: If the file cannot be read, is not a finite, non-empty,
            two-dimensional numeric ``.npy`` array, or if the names beside
            it do not belong to it.
    """
    path = os.fspath(path)
    require_regular(path)
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise ValueError(
            f'text embeddings {path!r} cannot be read ({error.strerror}); '
            f'give the path of a .npy file') from None
    if not data.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError(f'text embeddings {path!r} are not a .npy file; '
                         f'write them with numpy.save')
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        # Truncated, damaged, or pickled objects, which are never loaded; the
        # header is Python source, and its parsers raise what they like.
        reason = str(error).splitlines()[0] if str(error) else (
            type(error).__name__)
        raise ValueError(f'text embeddings {path!r} cannot be loaded: '
                         f'{reason[:200]}; write a plain numeric array with '
                         f'numpy.save') from None
    vectors = check_vectors(array, f'text embeddings {path!r}')
    digest = hashlib.sha256(data).hexdigest()
    names = _sidecar_names(sidecar_path(path), len(vectors), digest)
    return TextEmbeddings(vectors, names, digest, path)


def save_embeddings(path: Path, vectors: np.ndarray, names: Sequence[str],
                    prompts: Optional[Sequence[str]] = None,
                    encoder: Optional[str] = None) -> TextEmbeddings:
    """Write embeddings to a ``.npy`` file and their names beside it.

    Args:
        path (str | os.PathLike): The ``.npy`` file; its folder is made if
            it is missing. The names go to the same name in ``.json``.
        vectors (np.ndarray): One row for each class, shape (N, D).
        names (Sequence[str]): The N class names.
        prompts (Sequence[str], optional): The N texts that were encoded,
            where they differ from the names.
        encoder (str, optional): What computed the vectors.

    Returns:
        TextEmbeddings: What :func:`load_embeddings` gives back.

    Raises:
        ValueError: See :func:`embedding_files`.
        OSError: If one of the files cannot be written; none is left then.
    """
    path = os.fspath(path)
    files = embedding_files(path, vectors, names, prompts, encoder)
    write_together(files)
    digest = hashlib.sha256(files[path]).hexdigest()
    return TextEmbeddings(
        check_vectors(vectors, 'vectors'), tuple(names), digest, path)


def embedding_files(path: Path, vectors: np.ndarray, names: Sequence[str],
                    prompts: Optional[Sequence[str]] = None,
                    encoder: Optional[str] = None) -> Dict[Path, bytes]:
    """The two files that :func:`save_embeddings` writes, by name.

    Raises:
        ValueError: If the vectors are not a finite, non-empty, two-dimensional
            numeric array, or there is not one name and prompt for each row.
    """
    path = os.fspath(path)
    if not path.endswith('.npy'):
        raise ValueError(f'path={path!r}: an embeddings file must end in .npy')
    vectors = check_vectors(vectors, 'vectors')
    names = _check_names(names, len(vectors), 'names')
    if prompts is not None:
        prompts = list(_check_names(prompts, len(vectors), 'prompts'))
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    sidecar = json.dumps(
        dict(names=list(names), prompts=prompts, encoder=encoder,
             sha256=digest), ensure_ascii=False, indent=1).encode('utf-8')
    # The names get theirs last, and have the hash of the array: those that
    # were written for another array are noticed.
    return {sidecar_path(path): sidecar, path: buffer.getvalue()}


def check_vectors(array: np.ndarray, name: str) -> np.ndarray:
    """Embeddings in float32, (N, D), checked.

    Args:
        array (np.ndarray): The embeddings.
        name (str): What to call them in an error.

    Raises:
        ValueError: If the array is not numeric, two-dimensional, non-empty
            and finite in float32.
    """
    array = np.asarray(array)
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{name}: dtype {array.dtype}, expected numbers '
                         f'(float32, float16 or float64)')
    if array.ndim != 2:
        raise ValueError(
            f'{name}: shape {array.shape}, expected two dimensions, one row '
            f'per class; a single vector needs reshape(1, -1)')
    if array.size == 0:
        raise ValueError(f'{name}: shape {array.shape}, expected at least '
                         f'one row and one column')
    with np.errstate(over='ignore'):
        vectors = array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(f'{name}: {len(bad)} of {len(vectors)} rows hold NaN '
                         f'or infinite values in float32, the first is row '
                         f'{bad[0]}; compute them again')
    return vectors


def _check_names(names: Sequence[str], count: int,
                 name: str) -> Tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f'{name}: expected a list of strings, got '
                         f'{names[:80]!r}')
    odd = [text for text in names
           if not isinstance(text, str) or not is_text(text)]
    if odd:
        raise ValueError(f'{name}: expected a list of strings, got '
                         f'{repr(odd[0])[:80]} in it')
    if len(names) != count:
        raise ValueError(f'{name}: {len(names)} for {count} rows of '
                         f'embeddings; give one for each row, in order')
    return tuple(names)


def _sidecar_names(path: str, count: int,
                   digest: str) -> Optional[Tuple[str, ...]]:
    """Names from the file beside the embeddings; None without one."""
    if not os.path.exists(path):
        return None
    what = f'names beside the embeddings, {path!r}'
    remedy = 'fix, replace or remove that file'
    require_regular(path)
    try:
        with open(path, encoding='utf-8-sig') as file:
            sidecar = parse_json(file.read())
    except (OSError, ValueError) as error:
        raise ValueError(
            f'{what}, cannot be read: {error}; {remedy}') from None
    if not isinstance(sidecar, dict):
        names = class_names(check_class_texts(sidecar, what))
        return _check_names(names, count, what)
    if not isinstance(sidecar.get('names'), list):
        raise ValueError(f'{what}: no list under "names"; {remedy}')
    if sidecar.get('sha256', digest) != digest:
        raise ValueError(f'{what}: they were written for another array '
                         f'(sha256 differs); {remedy}')
    return _check_names(sidecar['names'], count, what)


def padded_path(path: Path) -> str:
    """The file of the same embeddings with the padding prompt added."""
    stem, suffix = os.path.splitext(os.fspath(path))
    return f'{stem}_padded{suffix}'
