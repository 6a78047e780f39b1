"""From a text-conditioned checkpoint file to a folded one, checked."""
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from yolo_world_rep.text import (
    TextEmbeddings,
    embed_words,
    load_class_names,
    load_embeddings,
)
from yolo_world_rep.text.embeddings import (
    check_vectors,
    computed,
    for_guides,
    padded_path,
)
from yolo_world_rep.text.names import Names, names_of_checkpoint
from yolo_world_rep.utils.files import PathLike, about_file, require_new
from yolo_world_rep.version import __version__

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .conversion_check import LayerCheck, check_layers, require_exact
from .description import Description
from .layers import Layout, check_text, inspect_layout
from .meta import folding_meta, meta_of
from .state_dict import fold_texts, text_layers, tuned_prompts

SUFFIXES = dict(
    rep_conv='_rep_conv', rep_linear='_rep_linear', text='_rep_head')
Embeddings = Union[PathLike, np.ndarray, TextEmbeddings]
# In place of an embeddings file: the texts that are in the checkpoint.
OWN_TEXTS = 'checkpoint'


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

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


def name_of_folded(stem: str, neck_form: str = 'rep_conv') -> str:
    """The file of a folded checkpoint, by the stem of its source."""
    return f'{stem}{SUFFIXES[neck_form]}.pth'


def class_names_of(embeddings: TextEmbeddings,
                   texts: Union[PathLike, Sequence[str], None]
                   ) -> Optional[Names]:
    """Names of the classes: given, or of a file, or of the embeddings."""
    if texts is None:
        return embeddings.names
    names = load_class_names(texts) if isinstance(
        texts, (str, os.PathLike)) else tuple(texts)
    if len(names) != len(embeddings.vectors):
        raise ValueError(
            f'{texts} names {len(names)} classes, but {embeddings.path} '
            f'has {len(embeddings.vectors)} rows; they must be the same '
            f'list in the same order.')
    return names


def texts_of_checkpoint(source: Checkpoint) -> TextEmbeddings:
    """The texts that prompt tuning left in a checkpoint, with their names."""
    vectors = tuned_prompts(source.state_dict).float().numpy()
    # What folding noted is about the rows that were folded before.
    stated = dict(dataset_meta=source.meta.get('dataset_meta'))
    names = names_of_checkpoint(stated, len(vectors))
    return computed(vectors, names, OWN_TEXTS)


def as_embeddings(texts: Embeddings) -> TextEmbeddings:
    """Embeddings as they are, of an array (N, D), or read from their file."""
    if isinstance(texts, np.ndarray):
        return computed(check_vectors(texts, '`embeddings`'), None, 'array')
    return texts if isinstance(texts, TextEmbeddings) else load_embeddings(
        texts)


def choose_texts(source: Checkpoint, words: Any = None,
                 text_embed: Optional[Embeddings] = None,
                 neck_text_embed: Optional[Embeddings] = None,
                 pad: bool = False, encoder: Optional[str] = None,
                 device: str = 'auto'
                 ) -> Tuple[TextEmbeddings, TextEmbeddings, str]:
    """Texts of head and neck by what was asked for, and how they relate.

    Without words and embeddings they are the prompts in the checkpoint.
    """
    if text_embed is None and words:
        texts, neck, kind = texts_for(source, words, encoder, device)
    else:
        given = OWN_TEXTS if text_embed is None else text_embed
        texts = texts_of_checkpoint(source) if (
            isinstance(given, str) and given == OWN_TEXTS
        ) else as_embeddings(given)
        neck, kind = (_padded_texts(given, texts), 'padded') if pad else (
            texts, 'same')
    if neck_text_embed is not None:
        neck, kind = as_embeddings(neck_text_embed), 'own'
    return texts, neck, kind


def _padded_texts(text_embed: Embeddings,
                  embeddings: TextEmbeddings) -> TextEmbeddings:
    """The texts with the padding, of the file beside theirs."""
    if not isinstance(text_embed, (str, os.PathLike)) or (
            text_embed == OWN_TEXTS):
        raise ValueError(
            '`pad` needs an embeddings file: it takes the padding prompt '
            'from the FILE_padded.npy beside it. Give the neck its texts '
            'by `neck_text_embed`.')
    path = padded_path(text_embed)
    if not Path(path).is_file():
        raise ValueError(
            f'`pad`: {path} does not exist. Make it together with '
            f'{text_embed}: yolo-world-rep embed --pad.')
    padded = load_embeddings(path)
    count = len(embeddings.vectors)
    if not np.array_equal(padded.vectors[:count], embeddings.vectors):
        raise ValueError(
            f'`pad`: {path} does not begin with the rows of {text_embed}. '
            f'Make both anew: yolo-world-rep embed --pad.')
    return padded


def notes_on(embeddings: TextEmbeddings, names: Optional[Names],
             source: Description) -> List[str]:
    """Remarks on what is legitimate but may surprise."""
    notes = []
    if names is None:
        notes.append('the classes have no names: give `texts`, or a sidecar '
                     'beside the embeddings, so that predictions and checks '
                     'can use them')
    elif len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        notes.append(f'class names that occur twice: {twice[:5]}')
    if source.prompts is not None and embeddings.path != OWN_TEXTS:
        notes.append(
            'the checkpoint holds tuned prompts, which are not used: the '
            'texts are those of the embeddings file. To fold its own, give '
            f'{OWN_TEXTS!r} as `text_embed`')
    return notes


def convert_checkpoint(model: PathLike,
                       text_embed: Optional[Embeddings],
                       out_dir: PathLike, neck_form: str = 'rep_conv',
                       texts: Optional[PathLike] = None,
                       neck_text_embed: Optional[Embeddings] = None,
                       pad: bool = False, overwrite: bool = False,
                       trust: bool = False, words: Any = None,
                       encoder: Optional[str] = None, norms: str = 'refuse',
                       name: Optional[str] = None) -> Conversion:
    """Fold texts into a checkpoint file, check it, and write the result.

    Args:
        model (str | Path): Checkpoint of a text-conditioned YOLO-World.
        text_embed (str | Path | np.ndarray | TextEmbeddings, optional): N×D
            text embeddings, or their ``.npy``, or 'checkpoint' for the texts
            that prompt tuning left in it; None with ``words``.
        out_dir (str | Path): Folder of the result, which is named after the
            checkpoint and the form.
        neck_form (str): As of
            :func:`~.state_dict.reparameterize_state_dict`.
        texts (str | Path, optional): JSON of class texts, for the names.
            Defaults to None for the names that come with the embeddings.
        neck_text_embed (str | Path | TextEmbeddings, optional): Another
            vocabulary for the neck. Defaults to None.
        pad (bool): Whether the neck gets the padding prompt as well, from
            the file that ``embed --pad`` wrote beside ``text_embed``.
        overwrite (bool): Whether an existing result is replaced.
        trust (bool): See :func:`load_checkpoint`.
        words (str | Path | Sequence[str], optional): The classes, instead of
            all embeddings, see :func:`texts_for`.
        encoder (str, optional): What embeds the words.
        norms (str): See :func:`~.text.embeddings.for_guides`.
        name (str, optional): Of the result, to which the form is added.
            Defaults to None for that of the checkpoint.

    Returns:
        Conversion: The path, the errors and the meta written.

    Raises:
        ValueError: If anything does not fit; nothing is written then.
    """
    model = Path(model)
    path = require_new(
        Path(out_dir) / name_of_folded(name or model.stem, neck_form),
        overwrite, '`out_dir`')
    source = load_checkpoint(model, trust)
    embeddings, neck_texts, kind = choose_texts(
        source, words, text_embed, neck_text_embed, pad, encoder)
    names = class_names_of(embeddings, texts)
    folded, checks = fold(source, embeddings, neck_texts, neck_form, names,
                          kind, norms)
    save_checkpoint(path, folded.state_dict, folded.meta, overwrite)
    return Conversion(path, checks, folded.meta,
                      notes_on(embeddings, names, source.description))


def fold(source: Checkpoint,
         embeddings: TextEmbeddings,
         neck_texts: Optional[TextEmbeddings] = None,
         neck_form: str = 'rep_conv',
         names: Optional[Names] = None, neck_vocabulary: str = 'same',
         norms: str = 'refuse') -> Tuple[Checkpoint, List[LayerCheck]]:
    """Fold texts into a checkpoint that was read, and check the result.

    Args:
        source (Checkpoint): Of a text-conditioned YOLO-World.
        embeddings (TextEmbeddings): Texts of the head, (N, D).
        neck_texts (TextEmbeddings, optional): Of the neck. Defaults to None
            for those of the head.
        neck_form (str): As of
            :func:`~.state_dict.reparameterize_state_dict`.
        names (Sequence[str], optional): Of the classes. Defaults to None for
            those of the embeddings.
        neck_vocabulary (str): 'same', 'padded' or 'own', for the meta.
        norms (str): See :func:`~.text.embeddings.for_guides`; of the texts
            of a neck that has guides, prompts of the checkpoint excepted.

    Returns:
        tuple[Checkpoint, list[LayerCheck]]: The folded one, and the error of
        each layer.

    Raises:
        ValueError: If the texts do not fit the checkpoint.
    """
    neck_texts = neck_texts or embeddings
    names = names or embeddings.names
    with about_file(source.path):
        layout = inspect_layout(source.state_dict)
    for each in (embeddings, ) if neck_texts is embeddings else (
            embeddings, neck_texts):
        with about_file(each.path):
            check_text(layout, torch.from_numpy(each.vectors))
    if layout.guided and neck_texts.path != OWN_TEXTS:
        neck_texts = for_guides(neck_texts, norms)
        if norms == 'normalize':
            embeddings = for_guides(embeddings, norms)
    vectors, neck_vectors = (
        torch.from_numpy(each.vectors) for each in (embeddings, neck_texts))
    converted = fold_texts(layout, source.state_dict, vectors, neck_form,
                           neck_vectors)
    checks = check_layers(layout, source.state_dict, converted, vectors,
                          neck_vectors)
    require_exact(checks)
    meta = conversion_meta(source, layout, embeddings, neck_texts, names,
                           neck_form, neck_vocabulary)
    return replace(source, state_dict=converted, meta=meta), checks


def texts_for(source: Checkpoint, words: Any, encoder: Optional[str] = None,
              device: str = 'auto'
              ) -> Tuple[TextEmbeddings, TextEmbeddings, str]:
    """Texts of head and neck for a checkpoint, see :func:`embed_words`.

    The neck gets the padding that public models were trained with; models
    of Ultralytics were trained without. The third is how the two relate.
    """
    about = folding_meta(source.path, source.meta)
    padded = (about.get('source') or {}).get('layout') != 'ultralytics'
    texts, neck_texts = embed_words(
        words, source.description.text_width or 0, encoder, device)
    return (texts, neck_texts, 'padded') if padded else (texts, texts, 'same')


def with_texts(loaded: Checkpoint, words: Any = None,
               encoder: Optional[str] = None,
               device: str = 'auto') -> Checkpoint:
    """A checkpoint with texts folded into it, in memory.

    Args:
        loaded (Checkpoint): Folded already, or text-conditioned.
        words (str | Path | Sequence[str], optional): The classes of a
            text-conditioned one, see :func:`~.text.embed_words`. Defaults to
            None for the prompts that are in it.
        encoder (str, optional): What embeds the words.
        device (str): Of the encoder.

    Raises:
        ValueError: If it has classes already and words are given, or none.
    """
    found = loaded.description
    if not found.text_conditioned:
        if words:
            raise ValueError(
                f'{loaded.path} is {found.kind} and has its classes already. '
                f'Leave out `words`; `classes` chooses among its classes.')
        return loaded
    if words:
        texts, neck_texts, kind = texts_for(loaded, words, encoder, device)
        return fold(loaded, texts, neck_texts, neck_vocabulary=kind)[0]
    if found.prompts is None:
        raise ValueError(
            f'{loaded.path} is text-conditioned: name what to detect by '
            f'`words`, or fold the names once with yolo-world-rep '
            f'reparameterize.')
    return fold(loaded, texts_of_checkpoint(loaded))[0]


def origin_of(embeddings: TextEmbeddings) -> Dict[str, Any]:
    """Where embeddings came from, for the meta."""
    return dict(file=Path(embeddings.path).name, sha256=embeddings.sha256)


def conversion_meta(source: Checkpoint, layout: Layout,
                    embeddings: TextEmbeddings, neck_texts: TextEmbeddings,
                    names: Optional[Names], neck_form: str,
                    neck_vocabulary: str) -> Dict[str, Any]:
    """The meta of a converted file: what it is, and how to change it.

    The layers that texts fold through are kept, so that other texts can be
    folded later. ``neck_vocabulary`` relates the neck's texts to the head's:
    'same', 'padded' (the head's come first) or 'own'.
    """
    about = dict(
        version=__version__,
        format='rep_head' if neck_form == 'text' else neck_form,
        head=layout.head_kind,
        num_classes=len(embeddings.vectors),
        num_guide=len(neck_texts.vectors) if layout.guided else 0,
        embed_dims=layout.text_channels,
        classes=names,
        source=dict(
            file=source.path.name, sha256=source.sha256,
            epoch=source.meta.get('epoch'), iter=source.meta.get('iter'),
            # Says with which images, of which size, it was trained.
            cfg=source.meta.get('cfg')),
        embeddings=origin_of(embeddings),
        neck_embeddings=origin_of(neck_texts),
        neck_vocabulary=neck_vocabulary,
        text_layers=text_layers(layout, source.state_dict),
        history=[])
    return meta_of(about, names)
