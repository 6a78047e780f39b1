"""Checkpoint files: read safely, and written whole."""
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

import torch
from torch import Tensor

from yolo_world_rep.checkpoint_file import Record, budget_of, read
from yolo_world_rep.checkpoint_file.safetensors_file import SUFFIX, as_bytes
from yolo_world_rep.moved import moved_names
from yolo_world_rep.text.names import Names, names_of_checkpoint
from yolo_world_rep.utils.files import (
    PathLike,
    about_file,
    atomic_path,
    identity,
    sha256_of_file,
)

from .description import Description, StateDict, description_of
from .original_checkpoints import read_as_ours
from .records import check_tensors, plain
from .state_dict import strip_wrapper
from .tensor_checks import check_weights

# To read a file that another process replaces meanwhile.
ATTEMPTS = 5


@dataclass(frozen=True)
class Checkpoint:
    """What is taken from a checkpoint file.

    Args:
        state_dict (dict): Tensors by name, without that of a wrapper.
        meta (dict): Plain values only.
        path (Path): The file.
        sha256 (str): Hash of its bytes.
        notes (tuple[str]): What was read differently from how it is stored.
    """
    state_dict: Dict[str, Tensor]
    meta: Dict[str, Any]
    path: Path
    sha256: str
    notes: Tuple[str, ...] = ()

    @cached_property
    def description(self) -> Description:
        """What the state dict is."""
        return description_of(self.state_dict)

    @property
    def class_names(self) -> Optional[Names]:
        """The names that it states for the rows of its head."""
        return names_of_checkpoint(self.meta, self.description.classes)


def read_content(path: PathLike, trust: bool = False) -> Dict[str, Any]:
    """The dict that a checkpoint file is, on the CPU; ValueError if none.

    ``trust`` lets code in the file run, as a usual load does.
    """
    path = Path(path)
    content = _trusted(path) if trust else read(path)
    if not isinstance(content, dict):
        kind = str(getattr(content, 'origin', '') or type(content).__name__)
        raise ValueError(f'{path} holds a {kind.rpartition(".")[2][:80]}; '
                         f'expected a dict with a state_dict.')
    return content


def _trusted(path: Path) -> Any:
    """What torch makes of a file; its code runs."""
    if not path.is_file():
        raise ValueError(f'Checkpoint {path} is not a file.')
    try:
        return torch.load(path, map_location='cpu', weights_only=False)
    except Exception as error:  # of every kind: the file says what is done
        reason = str(error).splitlines()[0] if str(error) else (
            type(error).__name__)
        raise ValueError(
            f'{path} is not a checkpoint that torch can read: it is '
            f'truncated or of another kind ({reason[:200]}).') from error


def load_checkpoint(path: Union[PathLike, Checkpoint],
                    trust: bool = False) -> Checkpoint:
    """Read tensors and plain values of a checkpoint file, on the CPU.

    Args:
        path (str | Path | Checkpoint): A ``.pth`` with a ``state_dict``, or
            a bare state dict. What was read already is given back.
        trust (bool): Whether code in the file may run, as a usual load does.
            Defaults to False.

    Raises:
        ValueError: If the file is not such a checkpoint, or its weights are
            not finite numbers.
    """
    if isinstance(path, Checkpoint):
        return path
    path = Path(path)
    for _ in range(ATTEMPTS):
        before = identity(path) if path.is_file() else None
        loaded = _load(path, trust)
        if before == identity(path):
            check_weights(path, loaded.state_dict)
            return loaded
    raise ValueError(f'{path} is replaced again and again while it is read; '
                     f'wait until that ends.')


def _load(path: Path, trust: bool) -> Checkpoint:
    """:func:`load_checkpoint` of a file that is not replaced meanwhile."""
    content = read_content(path, trust)
    if any(isinstance(each, Record) and each.origin.startswith('ultralytics.')
           for each in content.values()):
        raise ValueError(
            f'{path} is a file of Ultralytics, whose layers have other '
            f'names. Convert it first: yolo-world-rep convert-ultralytics.')
    state_dict = content.get('state_dict', content)
    if not isinstance(state_dict, dict):
        raise ValueError(f'{path} has no tensors under state_dict.')
    check_tensors(path, state_dict)
    meta = content.get('meta')
    try:
        meta = plain(meta, budget_of(path.stat().st_size)) if isinstance(
            meta, dict) else {}
    except ValueError as error:
        raise ValueError(f'{path}: its meta has {error}; expected a '
                         f'checkpoint. Do not use this file.') from None
    with about_file(path):
        state_dict, notes = read_as_ours(strip_wrapper(state_dict), meta)
    return Checkpoint(
        {key: value.detach() for key, value in state_dict.items()}, meta,
        path, sha256_of_file(path), tuple(notes))


def save_checkpoint(path: PathLike, state_dict: StateDict,
                    meta: Dict[str, Any], overwrite: bool = True) -> None:
    """Write a checkpoint file, whole or not at all.

    Tensors that are views are written without the storage behind them. A
    name that ends in ``.safetensors`` gives a file of that format.
    ValueError if there is a file by then, without ``overwrite``.
    """
    state_dict = {key: value.clone() for key, value in state_dict.items()}
    # The writers of both libraries say nothing of a full disk.
    if Path(path).suffix == SUFFIX:
        data = as_bytes(state_dict, meta)
    else:
        buffer = io.BytesIO()
        torch.save(dict(state_dict=state_dict, meta=meta), buffer)
        # Not getbuffer(): held by the traceback of a failed write, it
        # crashes some Pythons' collector.
        data = buffer.getvalue()
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(data)


__getattr__ = moved_names(__name__, {
    'META_KEY': 'reparam.META_KEY',
    'Conversion': 'reparam.Conversion',
    'convert_checkpoint': 'reparam.convert_checkpoint',
})
