"""Files as Ultralytics writes them, without Ultralytics.

The names are inverted from the map under test; that they are Ultralytics'
own is what ``benchmarks/verify_ultralytics.py`` shows.
"""
import re
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import Dict, Mapping

import torch
from builders import build_detector, randomize
from torch import Tensor, nn

from yolo_world_rep.reparam.ultralytics import BINS, LAYERS, name_map

# Bottlenecks of each layer in a model of depth 0.33.
BLOCKS = {2: 1, 4: 2, 6: 2, 8: 1, 12: 1, 15: 1, 18: 1, 21: 1}
CLASSES = ('WorldModel', 'Conv', 'C2f', 'C2fAttn', 'SPPF', 'Concat',
           'WorldDetect', 'Bottleneck')


def tiny_state_dict() -> Dict[str, Tensor]:
    """Of a narrow text-conditioned detector of ours, randomized."""
    state_dict = dict(randomize(build_detector('text')).state_dict())
    del state_dict['embeddings']
    return state_dict


def rename(ours: Mapping[str, Tensor],
           blocks: Mapping[int, int] = BLOCKS) -> Dict[str, Tensor]:
    """The state dict that Ultralytics would have of our detector."""
    theirs = {
        theirs: ours[name].reshape(1)
        if re.search(r'cv4\.\d\.bias$', theirs) else ours[name]
        for theirs, name in name_map(blocks).items()
    }
    theirs[BINS] = torch.arange(16.).reshape(1, 16, 1, 1)
    return theirs


@contextmanager
def pickled_classes():
    """Empty modules under Ultralytics' names, gone afterwards."""
    package = ModuleType('ultralytics')
    for name in CLASSES:
        setattr(package, name,
                type(name, (nn.Module, ), dict(__module__='ultralytics')))
    sys.modules['ultralytics'] = package
    try:
        yield package
    finally:
        del sys.modules['ultralytics']


def class_at(package: ModuleType, name: str,
             state_dict: Mapping[str, Tensor]) -> nn.Module:
    """An empty module of the class that stands at a name."""
    if f'{name}.running_mean' in state_dict:
        return nn.BatchNorm2d(1, eps=1e-3)
    if f'{name}.bn.weight' in state_dict:
        return package.Conv()
    if re.search(r'\.m\.\d+$', name):
        return package.Bottleneck()
    if re.fullmatch(r'model\.\d+', name):
        kind = LAYERS[int(name.split('.')[1])][0]
        if kind == 'Upsample':
            return nn.Upsample(scale_factor=2, mode='nearest')
        return getattr(package, kind)()
    return nn.Module()


def build_pickled(package: ModuleType,
                  state_dict: Mapping[str, Tensor]) -> nn.Module:
    """A tree of modules that holds these tensors.

    Args:
        package (ModuleType): What :func:`pickled_classes` gives.
        state_dict (Mapping): By Ultralytics' names.
    """
    root = package.WorldModel()

    def module_at(name: str) -> nn.Module:
        module = root
        path = name.split('.')
        for depth, part in enumerate(path, 1):
            if part not in module._modules:
                module.add_module(
                    part,
                    class_at(package, '.'.join(path[:depth]), state_dict))
            module = module._modules[part]
        return module

    for index, (_, source) in enumerate(LAYERS):
        module_at(f'model.{index}').f = source
    for key, value in state_dict.items():
        name, _, part = key.rpartition('.')
        holder = module_at(name)
        value = value.clone()
        if part.startswith(('running', 'num_batches')):
            holder.register_buffer(part, value)
        else:
            holder.register_parameter(part, nn.Parameter(value))
    for name, module in root.named_modules():
        if type(module).__name__ == 'Conv':
            module.act = (
                nn.Identity() if name.endswith('proj_conv') else nn.SiLU())
        elif type(module).__name__ == 'Bottleneck':
            layer = LAYERS[int(name.split('.')[1])][0]
            module.add = layer == 'C2f'
    return root


def save_pickled(path, state_dict: Mapping[str, Tensor], change=None,
                 **entries) -> None:
    """Write a file with a pickled module, as Ultralytics does.

    Args:
        path (Path): The file.
        state_dict (Mapping): By Ultralytics' names.
        change (Callable, optional): What is done to the module before.
        **entries: More of the file's dict.
    """
    with pickled_classes() as package:
        model = build_pickled(package, state_dict)
        if change is not None:
            change(model)
        torch.save({**dict(epoch=-1, model=model, ema=None), **entries}, path)
