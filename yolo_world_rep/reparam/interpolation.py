"""Between the weights before fine-tuning and those after it.

A point on the line between both often keeps more of what the model could do
before than the tuned end does, for little of what it has learned (WiSE-FT,
arXiv:2109.01903).
"""
from pathlib import Path
from typing import Dict

from torch import Tensor

from yolo_world_rep.utils.files import PathLike, require_new
from yolo_world_rep.version import __version__

from .checkpoint import load_checkpoint, save_checkpoint
from .description import StateDict
from .meta import folding_meta, meta_of
from .neck_forms import in_form_of
from .state_dict import strip_wrapper


def interpolate_state_dict(before: StateDict, after: StateDict,
                           alpha: float) -> Dict[str, Tensor]:
    """(1 - α)·before + α·after of two state dicts of one model, 0 <= α <= 1.

    Computed in float64 and rounded to the tensors' types; what is not of
    floating point is taken from ``after``.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha={alpha}: expected a share from 0 (before) '
                         f'to 1 (after).')
    after = strip_wrapper(after)
    before = in_form_of(strip_wrapper(before), after)[0]
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
        return {key: end[key].to(value.dtype) if value.is_floating_point() else
                value for key, value in after.items()}
    return {
        key: before[key].double().lerp(value.double(), alpha).to(value.dtype)
        if value.is_floating_point() else value
        for key, value in after.items()
    }


def interpolate_checkpoints(before: PathLike, after: PathLike, alpha: float,
                            out: PathLike, overwrite: bool = False) -> Path:
    """Write the checkpoint between two folded ones of the same classes.

    It gets the meta of ``after`` that folding needs, with this step in its
    history. ValueError if the two do not fit together.
    """
    out = require_new(out, overwrite)
    first, second = load_checkpoint(before), load_checkpoint(after)
    about = dict(folding_meta(second.path, second.meta)
                 or folding_meta(first.path, first.meta))
    names, others = first.class_names, second.class_names
    if names is not None and others is not None and names != others:
        raise ValueError(
            f'{before} and {after} have other classes: '
            f'{list(names[:4])} … and {list(others[:4])} ….')
    mixed = interpolate_state_dict(first.state_dict, second.state_dict, alpha)
    step = dict(
        action='interpolate', alpha=alpha,
        before=dict(file=first.path.name, sha256=first.sha256),
        after=dict(file=second.path.name, sha256=second.sha256),
        version=__version__)
    about['history'] = [*(about.get('history') or []), step]
    save_checkpoint(out, mixed, meta_of(about, others), overwrite)
    return out
