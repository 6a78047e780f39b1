"""What a checkpoint file is, told without running anything from it."""
from typing import Any, Dict, Mapping, Optional

from torch import Tensor

from yolo_world_rep.utils.files import PathLike

from .checkpoint import load_checkpoint
from .meta import folding_meta
from .original import CLASS_BRANCH, HEAD_ROWS, names_of_rows, rows
from .state_dict import (
    CONTRAST_LAYER,
    FOLDED_LAYER,
    GUIDED_LAYER,
    StateDict,
    strip_wrapper,
)

STEM = 'backbone.image_model.stem.conv.weight'
# Channels of the stem, which widen_factor decides alone.
SIZES = {16: 'n', 32: 's', 48: 'm', 64: 'l', 80: 'x', 96: 'xl'}


def kind_of(state_dict: StateDict) -> str:
    """'text-conditioned', 'folded, …' or 'not a YOLO-World'.

    Args:
        state_dict (Mapping): Of any checkpoint.

    Returns:
        str: The kind, by the keys alone.
    """
    keys = [key for key in state_dict if FOLDED_LAYER.match(key)]
    if any('.guide_convs.' in key for key in keys):
        return 'folded, convolutions in the neck (rep_conv)'
    if any(key.endswith('.guide_weight') for key in keys):
        return 'folded, matrices in the neck (rep_linear)'
    if keys and any(map(GUIDED_LAYER.match, state_dict)):
        return 'folded head, text-conditioned neck (rep_head)'
    if keys:
        return 'folded head, no guides in the neck'
    if any(map(CONTRAST_LAYER.match, state_dict)):
        return 'text-conditioned'
    return 'not a YOLO-World'


def head_kind(state_dict: StateDict) -> Optional[str]:
    """'v2 (batch norm)' or 'v1 (L2)', None without contrastive heads."""
    if not any('.cls_contrasts.' in key for key in state_dict):
        return None
    norm = any('.cls_contrasts.' in key and '.norm.' in key
               for key in state_dict)
    return 'v2 (batch norm)' if norm else 'v1 (L2)'


def describe_state_dict(state_dict: StateDict) -> Dict[str, Any]:
    """What the tensors alone tell.

    Args:
        state_dict (Mapping): Of any checkpoint.

    Returns:
        dict: Plain values.
    """
    state_dict = strip_wrapper(state_dict)
    stem = state_dict.get(STEM)
    guides = rows(state_dict, '.guide_convs.0.weight', 0)
    if guides is None:
        guides = rows(state_dict, '.guide_weight', 1)
    prompts = state_dict.get('embeddings')
    return dict(
        kind=kind_of(state_dict),
        size=None if stem is None or not stem.dim() else SIZES.get(
            len(stem), f'stem of {len(stem)} channels'),
        head=head_kind(state_dict),
        dual_neck=any('.text_enhancer.' in key for key in state_dict),
        text_width=rows(state_dict, '.guide_fc.weight', 1)
        or rows(state_dict, '.cls_preds.0.2.bias', 0),
        classes=rows(state_dict, HEAD_ROWS, 0),
        class_branch=rows(state_dict, CLASS_BRANCH, 0),
        guides=guides,
        prompts=None if prompts is None else list(prompts.shape),
        adapter=any(key.startswith('adapter.') for key in state_dict),
        text_encoder=any(
            key.startswith('backbone.text_model.') for key in state_dict),
        tensors=len(state_dict),
        parameters=sum(
            tensor.numel() for tensor in state_dict.values()),
        dtypes=sorted({
            str(tensor.dtype).replace('torch.', '')
            for tensor in state_dict.values()
        }))


def without_tensors(value: Any) -> Any:
    """A value with tensors told by their shapes."""
    if isinstance(value, Tensor):
        return f'tensor {tuple(value.shape)}'
    if isinstance(value, Mapping):
        return {str(key): without_tensors(item)
                for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_tensors(item) for item in value]
    return value


def inspect_checkpoint(path: PathLike) -> Dict[str, Any]:
    """What a checkpoint file is: kind, size, classes, hashes, history.

    Args:
        path (str | Path): The file; nothing in it is executed.

    Returns:
        dict: Plain values; a JSON file can hold them.

    Raises:
        ValueError: If it is no checkpoint.
    """
    checkpoint = load_checkpoint(path)
    about = folding_meta(checkpoint.path, checkpoint.meta)
    names = names_of_rows(checkpoint.meta, checkpoint.state_dict)
    described = describe_state_dict(checkpoint.state_dict)
    return dict(
        file=str(checkpoint.path),
        sha256=checkpoint.sha256,
        **described,
        class_names=None if names is None else list(names),
        epoch=checkpoint.meta.get('epoch'),
        iter=checkpoint.meta.get('iter'),
        folding=without_tensors({
            key: value
            for key, value in about.items()
            if key not in ('classes', 'history', 'text_layers')
        }) or None,
        can_fold_other_texts=bool(about.get('text_layers'))
        or described['kind'] == 'text-conditioned',
        history=without_tensors(about.get('history') or []),
        notes=list(checkpoint.notes))
