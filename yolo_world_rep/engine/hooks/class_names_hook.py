"""The model knows the names of its classes."""
from typing import Any, Iterator, Optional, Tuple

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmyolo.registry import HOOKS

from ...registry import register
from ...text.names import Names, names_of


def unwrapped(model: nn.Module) -> nn.Module:
    """The detector inside the wrappers for processes and augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def data_sets(runner: Runner) -> Iterator[Tuple[str, Any, Optional[Names]]]:
    """(name, data set, class names) of the loops built for this run."""
    for name in ('train', 'val', 'test'):
        loop = getattr(runner, f'_{name}_loop', None)
        if isinstance(loop, BaseLoop):
            dataset = loop.dataloader.dataset
            yield name, dataset, names_of(getattr(dataset, 'metainfo', None))


@register(HOOKS)
class ClassNamesHook(Hook):
    """Give the model its class names, for its predictions.

    They are those of the training data, else those of the data that it is
    evaluated on. The launcher and :class:`VariablesRunner` add this hook.
    """

    priority = 40

    def before_run(self, runner: Runner) -> None:
        """Put the names into the model's ``dataset_meta``."""
        model = unwrapped(runner.model)
        for _, _, names in data_sets(runner):
            if names is not None:
                model.dataset_meta = dict(
                    getattr(model, 'dataset_meta', None) or {}, classes=names)
                return
