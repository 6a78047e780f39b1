"""Checkpoint files: read safely, converted, checked, written whole."""
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from yolo_world_rep.text import (
    TextEmbeddings,
    class_names,
    load_class_texts,
    load_embeddings,
)
from yolo_world_rep.utils.files import PathLike, atomic_path, sha256_of_file
from yolo_world_rep.version import __version__

from .state_dict import (
    StateDict,
    inspect_layout,
    reparameterize_state_dict,
    strip_wrapper,
)
from .unpickling import load_plain, plain
from .verification import LayerCheck, check_conversion, require_exact

# Under this name a converted file's meta says what it is.
META_KEY = 'yolo_world_rep'
SUFFIXES = dict(
    rep_conv='_rep_conv', rep_linear='_rep_linear', text='_rep_head')
# Norms further from 1 than this are reported.
NORM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Checkpoint:
    """What a conversion takes from a checkpoint file.

    Args:
        state_dict (dict): Tensors by name.
        meta (dict): Plain values only.
        path (Path): The file.
        sha256 (str): Hash of its bytes.
    """
    state_dict: Dict[str, Tensor]
    meta: Dict[str, Any]
    path: Path
    sha256: str


@dataclass(frozen=True)
class Conversion:
    """What became of a checkpoint.

    Args:
        path (Path): The file written.
        checks (list[LayerCheck]): Error of each folded layer.
        meta (dict): The meta of the file written.
        notes (list[str]): What the user should know.
    """
    path: Path
    checks: List[LayerCheck]
    meta: Dict[str, Any]
    notes: List[str] = field(default_factory=list)


def load_checkpoint(path: PathLike, trust: bool = False) -> Checkpoint:
    """Read tensors and plain values of a checkpoint file.

    Args:
        path (str | Path): A ``.pth`` with a ``state_dict``, or a bare
            state dict.
        trust (bool): Whether code in the file may run, as a usual load
            does. Defaults to False.

    Returns:
        Checkpoint: Its content, on the CPU.

    Raises:
        ValueError: If the file is not such a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'Checkpoint {path} is not a file.')
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith('constants.pkl')
                   for name in archive.namelist()):
                raise ValueError(
                    f'{path} is a TorchScript archive; expected a training '
                    f'checkpoint (.pth with a state_dict).')
    try:
        if trust:
            content = torch.load(path, map_location='cpu', weights_only=False)
        else:
            content = load_plain(str(path))
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError,
            AttributeError, TypeError, ValueError, IndexError, ImportError,
            AssertionError, zipfile.BadZipFile, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else (
            type(error).__name__)
        raise ValueError(
            f'{path} is not a checkpoint that can be read: it is truncated '
            f'or of another kind ({reason}).') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__}; expected a dict '
            f'with a state_dict.')
    state_dict = content.get('state_dict', content)
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError(f'{path} has no tensors under state_dict.')
    odd = [
        str(key) for key, value in state_dict.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if odd:
        raise ValueError(
            f'{path} has entries in its state_dict that are no tensors: '
            f'{odd[:4]}. Expected a checkpoint for mmyolo, with a '
            f'state_dict.')
    meta = content.get('meta')
    return Checkpoint(
        {key: value.detach() for key, value in state_dict.items()},
        plain(meta) if isinstance(meta, dict) else {}, path,
        sha256_of_file(path))


def save_checkpoint(path: PathLike, state_dict: StateDict,
                    meta: Dict[str, Any]) -> None:
    """Write a checkpoint file, whole or not at all.

    Tensors that are views are written without the storage behind them.
    """
    state_dict = {key: value.clone() for key, value in state_dict.items()}
    with atomic_path(path) as temporary:
        torch.save(dict(state_dict=state_dict, meta=meta), temporary)


def class_names_of(embeddings: TextEmbeddings,
                   texts: Optional[PathLike]) -> Optional[Tuple[str, ...]]:
    """Names of the classes: of the texts file, else of the sidecar.

    Raises:
        ValueError: If there are not as many as embeddings.
    """
    if texts is None:
        return embeddings.names
    names = class_names(load_class_texts(texts))
    if len(names) != len(embeddings.vectors):
        raise ValueError(
            f'{texts} names {len(names)} classes, but {embeddings.path} '
            f'has {len(embeddings.vectors)} rows; they must be the same '
            f'list in the same order.')
    return names


def notes_on(embeddings: TextEmbeddings, names: Optional[Sequence[str]],
             state_dict: StateDict) -> List[str]:
    """What is legitimate and yet worth a word."""
    notes = []
    norms = torch.from_numpy(embeddings.vectors).norm(dim=1)
    if ((norms - 1).abs() > NORM_TOLERANCE).any():
        notes.append(
            f'the embeddings have norms of {norms.min():.3g} to '
            f'{norms.max():.3g}; encoders of public models give 1. The '
            f'head normalizes them, the neck takes them as they are')
    if names is None:
        notes.append(
            'the classes have no names: give --texts, or a sidecar beside '
            'the embeddings, so that predictions and checks can use them')
    elif len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        notes.append(f'class names that occur twice: {twice[:5]}')
    if 'embeddings' in state_dict:
        notes.append(
            'the checkpoint holds tuned prompts, which are not used: the '
            'texts are those of the embeddings file')
    return notes


def convert_checkpoint(model: PathLike,
                       text_embed: PathLike,
                       out_dir: PathLike,
                       neck_form: str = 'rep_linear',
                       texts: Optional[PathLike] = None,
                       overwrite: bool = False,
                       trust: bool = False) -> Conversion:
    """Fold texts into a checkpoint file, check it, and write the result.

    Args:
        model (str | Path): Checkpoint of a text-conditioned YOLO-World.
        text_embed (str | Path): ``.npy`` of N×D text embeddings.
        out_dir (str | Path): Folder of the result; it is named after the
            checkpoint and the form.
        neck_form (str): See
            :func:`~.state_dict.reparameterize_state_dict`.
            Defaults to 'rep_linear'.
        texts (str | Path, optional): JSON of class texts, for the names.
            Defaults to None for the embeddings' sidecar, if there is one.
        overwrite (bool): Whether an existing result is replaced.
            Defaults to False.
        trust (bool): See :func:`load_checkpoint`. Defaults to False.

    Returns:
        Conversion: The path, the errors and the meta written.

    Raises:
        ValueError: If anything does not fit; nothing is written then.
    """
    model = Path(model)
    path = Path(out_dir) / f'{model.stem}{SUFFIXES[neck_form]}.pth'
    if path.exists() and not overwrite:
        raise ValueError(
            f'{path} exists; remove it, choose another --out-dir, or say '
            f'--overwrite.')
    embeddings = load_embeddings(text_embed)
    names = class_names_of(embeddings, texts)
    source = load_checkpoint(model, trust=trust)
    vectors = torch.from_numpy(embeddings.vectors)
    converted = reparameterize_state_dict(source.state_dict, vectors,
                                          neck_form)
    checks = check_conversion(source.state_dict, converted, vectors)
    require_exact(checks)
    meta = conversion_meta(source, embeddings, names, neck_form)
    save_checkpoint(path, converted, meta)
    return Conversion(path, checks, meta,
                      notes_on(embeddings, names, source.state_dict))


def conversion_meta(source: Checkpoint, embeddings: TextEmbeddings,
                    names: Optional[Sequence[str]],
                    neck_form: str) -> Dict[str, Any]:
    """The meta of a converted file: plain values that say what it is.

    Class names stand where mmdet's inference looks for them as well.
    """
    layout = inspect_layout(strip_wrapper(source.state_dict))
    num_texts = len(embeddings.vectors)
    classes = None if names is None else tuple(names)
    meta: Dict[str, Any] = {
        META_KEY:
        dict(
            version=__version__,
            format='rep_head' if neck_form == 'text' else neck_form,
            head=layout.head_kind,
            num_classes=num_texts,
            num_guide=num_texts if layout.guided else 0,
            embed_dims=layout.text_channels,
            classes=classes,
            source=dict(
                file=source.path.name,
                sha256=source.sha256,
                epoch=source.meta.get('epoch'),
                iter=source.meta.get('iter')),
            embeddings=dict(
                file=Path(embeddings.path).name, sha256=embeddings.sha256))
    }
    if classes is not None:
        meta['dataset_meta'] = dict(classes=classes)
    return meta
