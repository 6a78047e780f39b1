"""Ultralytics' YOLO-World-v2: the same tensors under other names.

A ``yolov8{s,m,l,x}-worldv2.pt`` holds a pickled module, a list of 23 layers.
Each layer with weights has its place in a text-conditioned YOLO-World-v2
detector of this package and computes the same there
(``benchmarks/verify_ultralytics.py`` measures it). Only names and the layout
are known here: nothing in the file is run.
"""
import re
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from yolo_world_rep.checkpoint_file import Record
from yolo_world_rep.utils.wording import some

from .description import StateDict
from .records import named_modules
from .ultralytics_layers import (
    BINS,
    HEAD,
    LAYERS,
    NUM_LEVELS,
    layers_of,
    name_map,
)

DROPPED = ('clip_model.', )

NORM_EPS = 1e-3

# Public sizes by channels of the stem, blocks of the first stage and channels
# of the last.
SIZES = {(32, 1, 512): 's', (48, 2, 576): 'm', (64, 3, 512): 'l',
         (80, 3, 640): 'x'}
EXPECTED = 'Expected a yolov8[smlx]-worldv2.pt.'
# Names of a layer's tensors, whether there must be any, and the error if that
# does not hold.
PROBLEMS = (
    ('conv.weight', True,
     'No tensor is named model.0.conv.weight or the like: this is no detector '
     f'of Ultralytics. {EXPECTED}'),
    ('proto.', False,
     'The model is for segmentation (it has model.*.proto), which YOLO-World '
     f'here does not do. {EXPECTED}'),
    (r'attn\.gl\.', True,
     'The model is not a YOLO-World: no layer takes a text (none has '
     f'model.*.attn.gl.weight). {EXPECTED}'),
    (r'projections\.', False,
     'The model is YOLO-World v1 (yolov8*-world.pt): its ImagePoolingAttn '
     'changes the texts by what is in each image, so that they do not fold '
     f'into the neck, and it is not mapped. {EXPECTED}'),
    (r'conv\.bias', False,
     'The model is fused: its batch norms are in the convolutions '
     '(model.0.conv.bias) and cannot be taken out again. Give the file from '
     'before fuse().'),
    (r'cv4\.0\.norm\.', True,
     'The model\'s contrastive heads have no batch norm '
     '(model.*.cv4.0.norm), which v2 has and v1 has not: there is no exact '
     f'map. {EXPECTED}'))


def _channels(state_dict: StateDict, name: str) -> int:
    """The length of a tensor's first dimension, 0 for a single number."""
    shape = state_dict[name].shape
    return shape[0] if shape else 0


def count_blocks(state_dict: StateDict) -> Dict[int, int]:
    """Number of bottlenecks of each CSP layer, by the layer's index.

    It is read off the width of the layer's last convolution, not counted, so
    that a missing block is noticed.
    """
    blocks = {}
    for index in layers_of('C2f', 'C2fAttn'):
        names = [f'model.{index}.cv{i}.conv.weight' for i in (1, 2)]
        missing = [name for name in names if name not in state_dict]
        if missing:
            raise ValueError(_lacks(missing))
        first, last = (state_dict[name] for name in names)
        branches = 2 + (LAYERS[index][0] == 'C2fAttn')
        width = _channels(state_dict, names[0]) / 2
        count = last.shape[1] / width if width and last.dim() == 4 else 0
        if count < branches or count % 1 or width % 1:
            raise ValueError(
                f'{names[1]} of shape {tuple(last.shape)} does not fit '
                f'{names[0]} of {tuple(first.shape)}: the layer is no '
                f'{LAYERS[index][0]} of Ultralytics and has no exact map.')
        blocks[index] = int(count) - branches
    return blocks


def _lacks(names: List[str]) -> str:
    return (f'The model lacks {some(names)}: the file is incomplete, or of '
            f'another model than yolov8[smlx]-worldv2.pt.')


def require_world_v2(state_dict: StateDict) -> None:
    """Refuse other models of Ultralytics by the names of their tensors."""
    for pattern, wanted, problem in PROBLEMS:
        if wanted != any(re.match(rf'model\.\d+\.{pattern}', key)
                         for key in state_dict):
            raise ValueError(problem)


def check_shapes(state_dict: StateDict) -> None:
    """Check widths, heads and bins, on which the layers' results depend."""
    for index in layers_of('C2fAttn'):
        name = f'model.{index}.attn'
        embed, heads, width = (
            _channels(state_dict, f'{name}.{part}')
            for part in ('gl.weight', 'bias', 'proj_conv.conv.weight'))
        if embed != width or not heads or width % heads:
            raise ValueError(
                f'{name} embeds texts in {embed} channels and puts out '
                f'{width}, in {heads} heads: it has no exact map. Expected '
                f'the same multiple of the heads.')
    bins = state_dict[BINS].flatten().double()
    if not torch.equal(bins, torch.arange(len(bins)).double()):
        raise ValueError(
            f'{BINS} is not 0, 1, 2, ...: distances of boxes are not what '
            f'they are here, there is no exact map.')
    for level in range(NUM_LEVELS):
        name = f'{HEAD}.cv2.{level}.2.bias'
        if _channels(state_dict, name) != 4 * len(bins):
            raise ValueError(
                f'{name} has {_channels(state_dict, name)} channels; '
                f'expected 4·{len(bins)}, a distribution for each side of a '
                f'box.')
        for part in ('bias', 'logit_scale'):
            name = f'{HEAD}.cv4.{level}.{part}'
            if state_dict[name].numel() != 1:
                raise ValueError(
                    f'{name} has {state_dict[name].numel()} values; expected '
                    f'one for all texts.')


def _check_attribute(name: str, attribute: str, found: Any,
                     expected: Any) -> None:
    if found != expected:
        raise ValueError(
            f'{name} has {attribute} {found!r}; a layer of '
            f'yolov8[smlx]-worldv2.pt has {expected!r}, and with another '
            f'there is no exact map.')


def check_modules(root: Record) -> None:
    """Compare how a pickled model is built with how ours is.

    These are things that names and shapes of tensors do not tell: the layers'
    classes and inputs, activations, shortcuts, and the norms' epsilon.
    """
    modules = dict(named_modules(root))

    def class_of(name: str) -> str:
        module = modules.get(name)
        return '' if module is None else module.origin.rpartition('.')[2]

    def value_of(name: str, attribute: str) -> Any:
        state = modules[name].state
        return state.get(attribute) if isinstance(state, dict) else None

    for index, (kind, source) in enumerate(LAYERS):
        name = f'model.{index}'
        _check_attribute(name, 'the class', class_of(name), kind)
        _check_attribute(name, 'input from', value_of(name, 'f'), source)
    for name in modules:
        kind = class_of(name)
        if kind == 'BatchNorm2d':
            _check_attribute(name, 'eps', value_of(name, 'eps'), NORM_EPS)
        elif kind == 'Conv':
            plain = name.endswith('.attn.proj_conv')
            _check_attribute(name, 'the activation', class_of(f'{name}.act'),
                             'Identity' if plain else 'SiLU')
        elif kind == 'Bottleneck':
            layer = LAYERS[int(name.split('.')[1])][0]
            _check_attribute(name, 'shortcut', value_of(name, 'add'),
                             layer == 'C2f')
        elif kind == 'Upsample':
            _check_attribute(name, 'mode', value_of(name, 'mode'), 'nearest')


def size_of(state_dict: StateDict) -> Optional[str]:
    """The public size of these widths and depths, 's' to 'x', or None."""
    return SIZES.get((_channels(state_dict, 'model.0.conv.weight'),
                      count_blocks(state_dict)[2],
                      _channels(state_dict, 'model.8.cv2.conv.weight')))


def convert_state_dict(state_dict: StateDict) -> Dict[str, Tensor]:
    """Give the tensors of Ultralytics' YOLO-World-v2 our names.

    Half precision, which Ultralytics saves in, becomes float32 with the same
    values. ValueError unless every tensor has its exact counterpart.
    """
    require_world_v2(state_dict)
    names = name_map(count_blocks(state_dict))
    missing = [name for name in (*names, BINS) if name not in state_dict]
    if missing:
        raise ValueError(_lacks(missing))
    unknown = [
        key for key in state_dict
        if key not in names and key != BINS and not key.startswith(DROPPED)
    ]
    if unknown:
        raise ValueError(
            f'Nothing here corresponds to {some(unknown)}: there is no '
            f'exact map of this model. {EXPECTED}')
    check_shapes(state_dict)
    converted = {}
    for theirs, ours in names.items():
        tensor = state_dict[theirs].detach()
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.float()
        # A scalar here, a vector of one there.
        if re.search(r'\.cls_contrasts\.\d+\.(bias|logit_scale)$', ours):
            tensor = tensor.reshape(())
        converted[ours] = tensor
    return converted
