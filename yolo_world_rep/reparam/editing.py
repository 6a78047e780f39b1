"""Change the vocabulary of a folded checkpoint, fine-tuned or not.

A class is one row in every folded tensor. Rows that stay are taken bit for
bit; new ones are folded through the layers that the checkpoint keeps for it
in its meta.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from yolo_world_rep.text import TextEmbeddings, load_embeddings
from yolo_world_rep.utils.files import PathLike, require_new
from yolo_world_rep.utils.wording import some
from yolo_world_rep.version import __version__

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .conversion import Conversion, class_names_of, origin_of
from .conversion_check import check_layers, require_exact
from .description import Description, StateDict
from .layers import check_text, inspect_layout
from .meta import META_KEY, folding_meta, require
from .state_dict import fold_texts


@dataclass(frozen=True)
class Edit:
    """A change of vocabulary.

    Args:
        keep (tuple[int]): Classes that stay, by their number, in their new
            order.
        add (Tensor, optional): Embeddings of new classes, which come after
            those, (K, D).
    """
    keep: Tuple[int, ...]
    add: Optional[Tensor] = None


def in_head(key: str) -> bool:
    """Whether a folded tensor is the head's; the neck's otherwise."""
    return '.cls_contrasts.' in key


def _text_source(state_dict: StateDict, axes: Mapping[str, int],
                 text_layers: StateDict) -> Dict[str, Tensor]:
    """A text-conditioned state dict of the layers that text enters."""
    beside = {
        key: value
        for key, value in state_dict.items()
        if ('.attn_block.' in key or '.cls_contrasts.' in key
            or '.cls_preds.' in key or '.text_enhancer.' in key)
        and key not in axes
    }
    return {**beside, **text_layers}


def edit_state_dict(found: Description, state_dict: StateDict,
                    text_layers: StateDict, edit: Edit, num_classes: int,
                    neck_vocabulary: str = 'same') -> Dict[str, Tensor]:
    """Keep some classes of a folded model and add others.

    Pure; the new rows are checked against the text-conditioned layers.

    Args:
        found (Description): Of the state dict.
        state_dict (Mapping): Of a folded checkpoint.
        text_layers (Mapping): What its meta keeps for folding.
        edit (Edit): What stays and what comes.
        num_classes (int): Classes before the change.
        neck_vocabulary (str): 'same', 'padded' (rows after the classes'
            are the padding's and stay last) or 'own' (the neck stays as it
            is). Defaults to 'same'.

    Returns:
        dict: The state dict of the changed model.

    Raises:
        ValueError: If nothing would be left, or the texts do not fit.
    """
    count = len(edit.keep) + (0 if edit.add is None else len(edit.add))
    if not count:
        raise ValueError('No class would be left; keep or add at least one.')
    changed = dict(state_dict)
    fresh: Dict[str, Tensor] = {}
    if edit.add is not None:
        fresh = _fold_rows(found, state_dict, text_layers, edit.add)
    for key, axis in found.row_axes.items():
        if not in_head(key) and neck_vocabulary == 'own':
            continue
        tensor = state_dict[key]
        kept = tensor.index_select(
            axis, torch.tensor(edit.keep, dtype=torch.long))
        padding = tensor.narrow(axis, num_classes,
                                tensor.shape[axis] - num_classes)
        parts = [kept, *([fresh[key]] if key in fresh else []), padding]
        changed[key] = torch.cat(parts, axis).contiguous()
    return changed


def _fold_rows(found: Description, state_dict: StateDict,
               text_layers: StateDict, text: Tensor) -> Dict[str, Tensor]:
    """Rows of new classes for every folded tensor, checked.

    Raises:
        ValueError: If the texts do not fit the layers.
    """
    axes = found.row_axes
    form = 'text' if 'embeddings' in axes else (
        'rep_linear' if found.neck == 'rep_linear' else 'rep_conv')
    source = _text_source(state_dict, axes, text_layers)
    layout = inspect_layout(source)
    check_text(layout, text)
    folded = fold_texts(layout, source, text, form, text)
    require_exact(check_layers(layout, source, folded, text, text))
    odd = [
        key for key, axis in axes.items() if key not in folded
        or _without(folded[key], axis) != _without(state_dict[key], axis)
    ]
    if odd:
        raise ValueError(
            f'The layers that the checkpoint keeps for other texts are not '
            f'those of {some(odd)}: the file was changed by hand or damaged. '
            f'Convert its source again.')
    return {key: folded[key].to(state_dict[key].dtype) for key in axes}


def _without(tensor: Tensor, axis: int) -> List[int]:
    """Its shape but for the rows."""
    return [n for place, n in enumerate(tensor.shape) if place != axis]


def require_folded(checkpoint: Checkpoint) -> Dict[str, Any]:
    """What a folded checkpoint's meta says.

    Raises:
        ValueError: If it is not folded, or keeps no layers to fold
            another text through.
    """
    about = folding_meta(checkpoint.path, checkpoint.meta)
    if not about:
        raise ValueError(
            f'{checkpoint.path} is not a folded checkpoint of this package '
            f'(its meta has no {META_KEY!r}). Fold texts into a '
            f'text-conditioned one with yolo-world-rep reparameterize.')
    if not about.get('text_layers'):
        raise ValueError(
            f'{checkpoint.path} does not keep the layers that another text '
            f'would be folded through; convert its source '
            f'({(about.get("source") or {}).get("file")}) again.')
    require_rows(checkpoint, about)
    return about


def require_rows(checkpoint: Checkpoint, about: Dict[str, Any]) -> None:
    """Whether every folded tensor has the rows that the meta says.

    Raises:
        ValueError: If one has not, or the meta contradicts itself.
    """
    counts = [about.get(name) for name in ('num_classes', 'num_guide')]
    path, axes = checkpoint.path, checkpoint.description.row_axes
    require(path, 'num_classes', counts[0], bool(counts[0]) and bool(axes),
            'the number of its classes')
    names = about.get('classes')
    require(path, 'classes', names, names is None or len(names) == counts[0],
            f'{counts[0]} names')
    vocabulary = about.get('neck_vocabulary') or 'same'
    if any(not in_head(key) for key in axes):
        require(
            path, 'num_guide', counts[1], counts[1] is not None
            and (vocabulary == 'own' or counts[1] >= counts[0])
            and (vocabulary != 'same' or counts[1] == counts[0]),
            f'a number that goes with {counts[0]} classes')
    for key, axis in axes.items():
        tensor, rows = checkpoint.state_dict.get(key), counts[not in_head(key)]
        if tensor is None:
            raise ValueError(f'{path} lacks {key}: it is incomplete. Convert '
                             f'its source again.')
        if tensor.dim() <= axis or tensor.shape[axis] != rows:
            raise ValueError(
                f'{path}: {key} is of shape {tuple(tensor.shape)}; expected '
                f'{rows} rows, as its meta says. The file was changed by '
                f'hand or damaged: convert its source again.')


def positions(names: Optional[Sequence[str]],
              wanted: Sequence[str]) -> Tuple[int, ...]:
    """Numbers of the classes with the names wanted, in that order.

    Raises:
        ValueError: If the classes have no names, or not those.
    """
    if names is None:
        raise ValueError(
            'The checkpoint does not know the names of its classes, so '
            'none can be chosen by name. Convert its source again: '
            'yolo-world-rep reparameterize --texts NAMES.json ….')
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(
            f'The checkpoint has no classes named {unknown[:5]}; it has '
            f'{list(names[:8])}{" …" if len(names) > 8 else ""}.')
    if len(set(wanted)) < len(wanted):
        raise ValueError(f'A class to keep is named twice: {list(wanted)}.')
    return tuple(list(names).index(name) for name in wanted)


def edit_checkpoint(model: PathLike,
                    out: PathLike,
                    keep: Optional[Sequence[str]] = None,
                    add: Optional[PathLike] = None,
                    replace: Optional[PathLike] = None,
                    texts: Optional[PathLike] = None,
                    overwrite: bool = False) -> Conversion:
    """Change the classes of a folded checkpoint file.

    Args:
        model (str | Path): A folded checkpoint, converted or trained.
        out (str | Path): The file to write.
        keep (Sequence[str], optional): Names of the classes that stay, in
            their new order. Defaults to None for all.
        add (str | Path, optional): ``.npy`` of classes to add.
        replace (str | Path, optional): ``.npy`` of classes to put in the
            place of all.
        texts (str | Path, optional): Names of the new classes.
            Defaults to None for the sidecar of the embeddings.
        overwrite (bool): Whether an existing ``out`` is replaced.
            Defaults to False.

    Returns:
        Conversion: The path, the checks of new rows, the meta and notes.

    Raises:
        ValueError: If anything does not fit; nothing is written then.
    """
    if not (keep or add or replace) or (replace and (keep or add)):
        raise ValueError(
            'Say what to change: `keep`, `add` (or both), or `replace` alone.')
    require_new(out, overwrite)
    checkpoint = load_checkpoint(model)
    about = require_folded(checkpoint)
    names = about.get('classes')
    num_classes = about['num_classes']
    path = add or replace
    embeddings = load_embeddings(path) if path else None
    kept = () if replace else tuple(range(num_classes)) if keep is None else (
        positions(names, keep))
    new_names = _new_names(names, kept, embeddings, texts)
    edit = Edit(
        kept,
        None if embeddings is None else torch.from_numpy(embeddings.vectors))
    vocabulary = about.get('neck_vocabulary') or 'same'
    changed = edit_state_dict(checkpoint.description, checkpoint.state_dict,
                              about['text_layers'], edit, num_classes,
                              vocabulary)
    meta = _edited_meta(checkpoint, about, new_names, edit, embeddings)
    save_checkpoint(out, changed, meta, overwrite)
    notes = []
    if vocabulary == 'own' and about.get('num_guide'):
        notes.append('the neck has a vocabulary of its own, which stayed')
    return Conversion(Path(out), [], meta, notes)


def _new_names(names: Optional[Sequence[str]], kept: Sequence[int],
               embeddings: Optional[TextEmbeddings],
               texts: Optional[PathLike]) -> Optional[Tuple[str, ...]]:
    """Names of the classes after the change, None where one is unknown."""
    stay: Optional[List[str]] = None if names is None else [
        names[row] for row in kept
    ]
    if embeddings is None:
        return None if stay is None else tuple(stay)
    come = class_names_of(embeddings, texts)
    if come is None or (stay is None and kept):
        return None
    twice = sorted(set(stay or []) & set(come))
    if twice:
        raise ValueError(
            f'Classes that are there already would be added again: '
            f'{twice[:5]}. Leave them out of the new ones, or out of '
            f'`keep`.')
    return (*(stay or []), *come)


def _edited_meta(checkpoint: Checkpoint, about: Dict[str, Any],
                 names: Optional[Tuple[str, ...]], edit: Edit,
                 embeddings: Optional[TextEmbeddings]) -> Dict[str, Any]:
    """The meta after a change, with the change in its history."""
    added = 0 if edit.add is None else len(edit.add)
    count = len(edit.keep) + added
    step = dict(
        action='edit',
        kept=edit.keep,
        added=added,
        embeddings=None if embeddings is None else origin_of(embeddings),
        source=dict(file=checkpoint.path.name, sha256=checkpoint.sha256),
        version=__version__)
    guides = about.get('num_guide', 0)
    if guides and about.get('neck_vocabulary') != 'own':
        guides += count - about['num_classes']
    meta: Dict[str, Any] = {
        META_KEY: {
            **about, 'num_classes': count,
            'num_guide': guides,
            'classes': names,
            'history': [*(about.get('history') or []), step]
        }
    }
    if names is not None:
        meta['dataset_meta'] = dict(classes=names)
    return meta
