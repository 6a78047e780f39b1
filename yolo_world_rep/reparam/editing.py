"""Change the vocabulary of a folded checkpoint, fine-tuned or not.

A class is one row in every folded tensor. Rows that stay are copied bit for
bit; new ones are folded through the text layers kept in the checkpoint's meta.
"""
import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from yolo_world_rep.text import TextEmbeddings, embed_words, load_embeddings
from yolo_world_rep.text.embeddings import for_guides
from yolo_world_rep.text.names import Names
from yolo_world_rep.utils.files import PathLike, require_new
from yolo_world_rep.utils.wording import command, some
from yolo_world_rep.version import __version__

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .conversion import Conversion, class_names_of, origin_of
from .conversion_check import check_layers, require_exact
from .description import StateDict
from .layers import check_text, inspect_layout
from .meta import META_KEY, folding_meta, meta_of, require
from .state_dict import fold_texts

Texts = Union[PathLike, TextEmbeddings, Sequence[str]]
WORD_FILES = ('.txt', '.json')
# In the names of all tensors of the layers that text enters.
TEXT_PARTS = ('.attn_block.', '.cls_contrasts.', '.cls_preds.',
              '.text_enhancer.')


def in_head(key: str) -> bool:
    """Whether a folded tensor belongs to the head; to the neck otherwise."""
    return '.cls_contrasts.' in key


def edit_state_dict(checkpoint: Checkpoint, about: Mapping[str, Any],
                    keep: Sequence[int], add: Optional[Tensor],
                    order: Optional[Sequence[int]] = None
                    ) -> Dict[str, Tensor]:
    """Keep some classes of a folded model, by number, and add others, (K, D).

    ``order`` numbers these together, where they change their places.
    A padded neck has the rows of the padding behind those of the classes,
    and they stay last. A neck with a vocabulary of its own stays as it is.
    """
    changed = dict(checkpoint.state_dict)
    fresh: Dict[str, Tensor] = {}
    if add is not None:
        fresh = _fold_rows(checkpoint, about['text_layers'], add)
    for key, axis in checkpoint.description.row_axes.items():
        if not in_head(key) and about.get('neck_vocabulary') == 'own':
            continue
        tensor = changed[key]
        kept = tensor.index_select(axis, torch.tensor(keep, dtype=torch.long))
        classes = about['num_classes']
        padding = tensor.narrow(axis, classes, tensor.shape[axis] - classes)
        rows = torch.cat([kept, *([fresh[key]] if key in fresh else [])], axis)
        if order is not None:
            rows = rows.index_select(axis, torch.tensor(order))
        changed[key] = torch.cat([rows, padding], axis).contiguous()
    return changed


def _fold_rows(checkpoint: Checkpoint, text_layers: StateDict,
               text: Tensor) -> Dict[str, Tensor]:
    """Rows of new classes for every folded tensor, checked."""
    state_dict, found = checkpoint.state_dict, checkpoint.description
    axes = found.row_axes
    form = 'text' if 'embeddings' in axes else (
        'rep_linear' if found.neck == 'rep_linear' else 'rep_conv')
    # These layers as a text-conditioned checkpoint has them.
    source = {key: value for key, value in state_dict.items()
              if key not in axes and any(part in key for part in TEXT_PARTS)}
    source.update(text_layers)
    layout = inspect_layout(source)
    check_text(layout, text)
    folded = fold_texts(layout, source, text, form, text)
    require_exact(check_layers(layout, source, folded, text, text))
    odd = [key for key, axis in axes.items() if key not in folded
           or _without(folded[key], axis) != _without(state_dict[key], axis)]
    if odd:
        raise ValueError(
            f'The layers that the checkpoint keeps for other texts are not '
            f'those of {some(odd)}: the file was changed by hand or damaged. '
            f'Convert its source again.')
    return {key: folded[key].to(state_dict[key].dtype) for key in axes}


def _without(tensor: Tensor, axis: int) -> List[int]:
    """The shape without the axis of the rows."""
    return [n for place, n in enumerate(tensor.shape) if place != axis]


def require_folded(checkpoint: Checkpoint) -> Dict[str, Any]:
    """The meta of a checkpoint that can be edited, or ValueError."""
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
    """Check that every folded tensor has the rows that the meta states."""
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
    """Numbers of the classes with the given names, in that order."""
    if names is None:
        raise ValueError(
            'The checkpoint does not know the names of its classes, so '
            'none can be chosen by name. Fold them by name into its source: '
            'yolo-world-rep fold.')
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(
            f'The checkpoint has no classes named {unknown[:5]}; it has '
            f'{list(names[:8])}{" …" if len(names) > 8 else ""}.')
    if len(set(wanted)) < len(wanted):
        raise ValueError(f'A class is named twice: {list(wanted)}.')
    return tuple(list(names).index(name) for name in wanted)


def new_texts(given: Texts, width: int,
              encoder: Optional[str] = None) -> TextEmbeddings:
    """Embeddings as they are, of a ``.npy`` file, or of words (N, D)."""
    if isinstance(given, (str, os.PathLike)) and (
            os.path.splitext(given)[1] not in WORD_FILES):
        return load_embeddings(given)
    return given if isinstance(given, TextEmbeddings) else (
        embed_words(given, width, encoder)[0])


def command_to_edit(path: PathLike, names: Optional[Sequence[str]],
                    wanted: Sequence[str]) -> str:
    """The command that gives a file with classes ``names`` those wanted."""
    names = names or ()
    stay = [name for name in names if name in wanted]
    come = [name for name in wanted if name not in names]
    fewer = len(stay) < len(names)
    words = ['--keep', *stay] if fewer else []
    if not stay:
        words = ['--replace-words', *wanted]
    elif not come:
        words = ['--keep' if fewer else '--order', *wanted]
    else:
        words += ['--add-words', *come]
        if [*stay, *come] != list(wanted):
            words += ['--order', *wanted]
    out = Path(path).with_name(f'{Path(path).stem}_own.pth')
    return command('edit', path, '--out', out, *words)


def edit(checkpoint: Checkpoint, keep: Optional[Sequence[str]] = None,
         add: Optional[Texts] = None, replace: Optional[Texts] = None,
         texts: Optional[PathLike] = None, encoder: Optional[str] = None,
         norms: str = 'refuse', *, drop: Optional[Sequence[str]] = None,
         rename: Optional[Mapping[str, str]] = None,
         order: Optional[Sequence[str]] = None) -> Checkpoint:
    """Change the classes of a folded checkpoint that was read.

    Arguments and errors are those of :func:`edit_checkpoint`; what was given
    is not changed.
    """
    others = keep or drop or add or rename or order
    if bool(replace) == bool(others) or (keep and drop):
        raise ValueError(
            'Say what to change: `keep` or `drop`, `add`, `rename` and '
            '`order`, or `replace` alone.')
    about = require_folded(checkpoint)
    names = about.get('classes')
    given = add or replace
    embeddings = new_texts(
        given, checkpoint.description.text_width or 0, encoder
    ) if given else None
    kept: Sequence[int] = () if replace else range(about['num_classes'])
    if keep:
        kept = positions(names, keep)
    elif drop:
        kept = sorted(set(kept) - set(positions(names, drop)))
    if not kept and embeddings is None:
        raise ValueError('`drop` leaves no class.')
    if rename:
        positions(names, list(rename))
        names = tuple(rename.get(name, name) for name in names or ())
    new_names = _new_names(names, kept, embeddings, texts)
    rows = None
    if order:
        rows = positions(new_names, order)
        if len(rows) < len(new_names or ()):
            left = sorted(set(new_names or ()) - set(order))
            raise ValueError(f'`order` leaves out {some(left)}: expected all '
                             f'names, once each.')
        new_names = tuple(order)
    if embeddings is not None and about.get('neck_vocabulary') != 'own' and (
            not all(map(in_head, checkpoint.description.row_axes))):
        embeddings = for_guides(embeddings, norms)
    added = None if embeddings is None else (
        torch.from_numpy(embeddings.vectors))
    return dataclasses.replace(
        checkpoint,
        state_dict=edit_state_dict(checkpoint, about, kept, added, rows),
        meta=_edited_meta(checkpoint, about, new_names, kept, embeddings,
                          dict(renamed=dict(rename or {}), order=rows)))


def edit_checkpoint(model: PathLike, out: PathLike,
                    keep: Optional[Sequence[str]] = None,
                    add: Optional[Texts] = None,
                    replace: Optional[Texts] = None,
                    texts: Optional[PathLike] = None,
                    overwrite: bool = False,
                    encoder: Optional[str] = None,
                    norms: str = 'refuse', **changes: Any) -> Conversion:
    """Change the classes of a folded checkpoint file, converted or trained.

    Args:
        model (str | Path): The checkpoint.
        out (str | Path): The file to write.
        keep (Sequence[str], optional): Names of the classes that stay, in
            their new order. Defaults to None for all.
        add (str | Path | Sequence[str], optional): Classes to add: their
            embeddings (N, D) in a ``.npy``, or their names, or a file of
            names.
        replace (str | Path | Sequence[str], optional): Classes that replace
            all, likewise.
        texts (str | Path, optional): Names of the new classes.
            Defaults to None for the sidecar of the embeddings.
        overwrite (bool): Whether an existing ``out`` is replaced.
        encoder (str, optional): What embeds names, see
            :func:`~.text.embed_words`.
        norms (str): See :func:`~.text.embeddings.for_guides`; where the neck
            gets the new classes too.
        **changes: ``drop``, names of the classes that go; ``rename``, new
            names by old ones, whose rows stay as they are; ``order``, the
            names of all classes of the result, in their new order.

    Raises:
        ValueError: If anything does not fit; nothing is written then.
    """
    require_new(out, overwrite)
    edited = edit(load_checkpoint(model), keep, add, replace, texts, encoder,
                  norms, **changes)
    save_checkpoint(out, edited.state_dict, edited.meta, overwrite)
    about = edited.meta[META_KEY]
    notes = []
    if about.get('neck_vocabulary') == 'own' and about.get('num_guide'):
        notes.append('the neck has a vocabulary of its own, which stayed')
    return Conversion(Path(out), [], edited.meta, notes)


def _new_names(names: Optional[Sequence[str]], kept: Sequence[int],
               embeddings: Optional[TextEmbeddings],
               texts: Optional[PathLike]) -> Optional[Names]:
    """Class names after the change; None if any is unknown."""
    come = () if embeddings is None else class_names_of(embeddings, texts)
    if come is None or (names is None and kept):
        return None
    stay = tuple(names[row] for row in kept) if names else ()
    if len(set(stay)) < len(stay) or '' in map(str.strip, stay):
        raise ValueError(f'`rename` gives {list(stay)}: expected a name of '
                         f'its own for each class.')
    twice = sorted(set(stay) & set(come))
    if twice:
        raise ValueError(
            f'Classes that are there already would be added again: '
            f'{twice[:5]}. Leave them out of the new ones, or out of '
            f'`keep`.')
    return (*stay, *come)


def _edited_meta(checkpoint: Checkpoint, about: Dict[str, Any],
                 names: Optional[Names], kept: Sequence[int],
                 embeddings: Optional[TextEmbeddings],
                 more: Mapping[str, Any]) -> Dict[str, Any]:
    """The meta after a change, with the change in its history."""
    added = 0 if embeddings is None else len(embeddings.vectors)
    count = len(kept) + added
    step = dict(
        action='edit', kept=tuple(kept), added=added,
        **{name: value for name, value in more.items() if value},
        embeddings=None if embeddings is None else origin_of(embeddings),
        source=dict(file=checkpoint.path.name, sha256=checkpoint.sha256),
        version=__version__)
    guides = about.get('num_guide', 0)
    if guides and about.get('neck_vocabulary') != 'own':
        guides += count - about['num_classes']
    changed = dict(about, num_classes=count, num_guide=guides, classes=names,
                   history=[*(about.get('history') or []), step])
    return meta_of(changed, names)
