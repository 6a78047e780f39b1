"""Config settings for a folded checkpoint, checked against its tensors."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Tuple

from yolo_world_rep.utils.wording import command

from .checkpoint import Checkpoint
from .meta import folding_meta


@dataclass(frozen=True)
class FoldedModel:
    """The model that a folded checkpoint is of.

    ``neck_form`` is 'rep_conv', 'rep_linear' or '' for a neck without guides,
    ``text_width`` the D that the class branch ends in, ``num_guide`` the
    guides in the neck, and ``pretrain_classes`` what the width of the class
    branch asks for, None where the default does.
    """
    path: Path
    size: str
    neck_form: str
    bn_head: bool
    text_width: int
    num_guide: int
    classes: Tuple[str, ...]
    pretrain_classes: Optional[int] = None


def _disagree(path: Path, what: str, meta: Any, tensors: Any) -> ValueError:
    return ValueError(
        f'{path}: its meta says {what}={meta!r} and its tensors are of '
        f'{tensors!r}: the file was changed by hand or damaged. Convert its '
        f'source again with yolo-world-rep reparameterize.')


def folded_model(checkpoint: Checkpoint,
                 size: Optional[str] = None) -> FoldedModel:
    """What a config must know of a folded checkpoint, or ValueError."""
    path = checkpoint.path
    found = checkpoint.description
    if found.text_conditioned:
        raise ValueError(
            f'{path} is text-conditioned: fold your classes first, such as: '
            + command('fold', path, '--words', 'cat', 'dog'))
    if not found.folded or found.neck == 'text':
        raise ValueError(
            f'{path} is {found.kind}; expected a checkpoint with head and '
            f'neck folded, as yolo-world-rep reparameterize writes it '
            f'without --head-only.')
    if size is not None and found.size != size:
        raise ValueError(
            f'{path} is of size {found.size}, and `size` is {size}: give '
            f'{found.size}, or the checkpoint of the other size.')
    about = folding_meta(path, checkpoint.meta)
    # Of a file that another tool made the tensors say all but the names.
    classes = checkpoint.class_names
    if classes is None:
        raise ValueError(
            f'{path} has no names for its {found.classes} classes, so '
            f'nothing says that they are those of the data. Fold them by '
            f'name: yolo-world-rep fold.')
    form = '' if found.neck == 'none' else found.neck
    # Of what the meta states; older files state less.
    for what, tensors in (('num_classes', found.classes),
                          ('num_guide', found.guides or 0),
                          ('embed_dims', found.text_width)):
        if what in about and about[what] != tensors:
            raise _disagree(path, what, about[what], tensors)
    if form and about.get('format', form) != form:
        raise _disagree(path, 'format', about['format'], form)
    if len(classes) != found.classes:
        raise _disagree(path, 'len(classes)', len(classes), found.classes)
    return FoldedModel(
        path, size=str(found.size), neck_form=form, classes=tuple(classes),
        bn_head=found.head == 'bn', text_width=found.text_width or 0,
        num_guide=found.guides or 0,
        pretrain_classes=found.pretrain_classes())
