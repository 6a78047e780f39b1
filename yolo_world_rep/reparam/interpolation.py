"""Between the weights before fine-tuning and those after it.

A point on the line between both often keeps more of what the model could do
before than the tuned end, for little of what it has learnt (WiSE-FT,
arXiv:2109.01903).
"""
from pathlib import Path
from typing import Dict

from torch import Tensor

from yolo_world_rep.utils.files import PathLike, require_new
from yolo_world_rep.version import __version__

from .checkpoint import load_checkpoint, save_checkpoint
from .description import StateDict
from .meta import META_KEY, folding_meta
from .state_dict import strip_wrapper


def interpolate_state_dict(before: StateDict, after: StateDict,
                           alpha: float) -> Dict[str, Tensor]:
    """(1 - α)·before + α·after, tensor by tensor.

    Args:
        before (Mapping): State dict before fine-tuning.
        after (Mapping): State dict after it, of the same model.
        alpha (float): Share of the latter, 0 to 1.

    Returns:
        dict: Computed in float64 and rounded to the tensors' types; what
        is not of floating point is taken from ``after``.

    Raises:
        ValueError: If ``alpha`` is outside, or the two are not of one
            model with one vocabulary.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha={alpha}: expected a share from 0 (before) '
                         f'to 1 (after).')
    before, after = strip_wrapper(before), strip_wrapper(after)
    odd = [
        key for key in {**before, **after} if key not in before
        or key not in after or before[key].shape != after[key].shape
        or before[key].is_floating_point() != after[key].is_floating_point()
    ]
    if odd:
        raise ValueError(
            f'The checkpoints are not of one model with one vocabulary: '
            f'{odd[:3]} and {max(len(odd) - 3, 0)} more differ in shape '
            f'or kind, or are in one alone. Give the folded checkpoint that '
            f'the training started from, and its result.')
    if alpha in (0, 1):  # also of values that are not finite
        end = after if alpha else before
        return {
            key: (end if value.is_floating_point() else after)[key].to(
                value.dtype) for key, value in after.items()
        }
    return {
        key: value if not value.is_floating_point() else
        before[key].double().lerp(value.double(), alpha).to(value.dtype)
        for key, value in after.items()
    }


def interpolate_checkpoints(before: PathLike,
                            after: PathLike,
                            alpha: float,
                            out: PathLike,
                            overwrite: bool = False) -> Path:
    """Write the checkpoint between two.

    Args:
        before (str | Path): Folded checkpoint before fine-tuning.
        after (str | Path): The same after it.
        alpha (float): Share of the latter, 0 to 1.
        out (str | Path): The file to write, with the meta of ``after`` that
            folding needs, and the step in its history.
        overwrite (bool): Whether an existing file is replaced.
            Defaults to False.

    Returns:
        Path: The file written.

    Raises:
        ValueError: If the two do not fit together, or classes differ.
    """
    out = require_new(out, overwrite)
    first, second = load_checkpoint(before), load_checkpoint(after)
    about = folding_meta(second.path, second.meta) or folding_meta(
        first.path, first.meta)
    names, others = first.class_names, second.class_names
    if names is not None and others is not None and names != others:
        raise ValueError(
            f'{before} and {after} have other classes: '
            f'{list(names[:4])} … and {list(others[:4])} ….')
    mixed = interpolate_state_dict(first.state_dict, second.state_dict, alpha)
    step = dict(
        action='interpolate',
        alpha=alpha,
        before=dict(file=first.path.name, sha256=first.sha256),
        after=dict(file=second.path.name, sha256=second.sha256),
        version=__version__)
    meta = {
        META_KEY: {**about, 'history': [*(about.get('history') or []), step]}
    }
    if others is not None:
        meta['dataset_meta'] = dict(classes=others)
    save_checkpoint(out, mixed, meta, overwrite)
    return out
