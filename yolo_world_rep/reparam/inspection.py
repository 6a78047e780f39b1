"""What a checkpoint file is, found without running anything in it."""
from typing import Any, Dict, Mapping, Union

from torch import Tensor

from yolo_world_rep.utils.files import PathLike

from .checkpoint import Checkpoint, load_checkpoint
from .description import StateDict, description_of
from .meta import folding_meta


def describe_state_dict(state_dict: StateDict) -> Dict[str, Any]:
    """What the tensors alone show, as plain values."""
    found = description_of(state_dict)
    return dict(
        kind=found.kind,
        size=found.size,
        head=found.head_name,
        dual_neck=found.dual,
        text_width=found.text_width,
        classes=found.classes,
        class_branch=found.class_branch and found.class_branch[0],
        guides=found.guides,
        prompts=None if found.prompts is None else list(found.prompts),
        adapter=found.adapter,
        text_encoder=found.text_encoder,
        tensors=len(state_dict),
        parameters=sum(tensor.numel() for tensor in state_dict.values()),
        dtypes=sorted({str(tensor.dtype).replace('torch.', '')
                       for tensor in state_dict.values()}))


def without_tensors(value: Any) -> Any:
    """A value with the shapes of tensors, in words, and without configs."""
    if isinstance(value, Tensor):
        return f'tensor {tuple(value.shape)}'
    if isinstance(value, Mapping):
        return {str(key): without_tensors(item)
                for key, item in value.items() if key != 'cfg'}
    if isinstance(value, (list, tuple)):
        return [without_tensors(item) for item in value]
    return value


def inspect_checkpoint(path: Union[PathLike, Checkpoint]) -> Dict[str, Any]:
    """What a checkpoint is: kind, size, classes, hashes, history.

    Plain values, which a JSON file can hold; nothing in the file is executed.
    """
    checkpoint = load_checkpoint(path)
    about = folding_meta(checkpoint.path, checkpoint.meta)
    names = checkpoint.class_names
    return dict(
        file=str(checkpoint.path),
        sha256=checkpoint.sha256,
        **describe_state_dict(checkpoint.state_dict),
        class_names=None if names is None else list(names),
        epoch=checkpoint.meta.get('epoch'),
        iter=checkpoint.meta.get('iter'),
        folding=without_tensors({
            key: value
            for key, value in about.items()
            if key not in ('classes', 'history', 'text_layers')
        }) or None,
        can_fold_other_texts=bool(about.get('text_layers'))
        or checkpoint.description.text_conditioned,
        history=without_tensors(about.get('history') or []),
        notes=list(checkpoint.notes))
