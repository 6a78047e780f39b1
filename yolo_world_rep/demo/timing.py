"""Calls to be timed: of a network, and of a step of a training."""
from typing import Callable, Optional

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from ..utils.files import PathLike


def network(model: nn.Module, batch: dict) -> Callable[[], None]:
    """A call of the network on one image: no loading, no NMS.

    Args:
        model (nn.Module): A detector in evaluation mode.
        batch (dict): A batch of a test loader; the first image counts.
    """
    one = {key: value[:1] for key, value in batch.items()}
    data = model.data_preprocessor(one, False)

    @torch.no_grad()
    def call() -> None:
        features = model.extract_feat(data['inputs'], data['data_samples'])
        model.bbox_head.forward(features)

    return call


def training_step(config: PathLike,
                  width: Optional[float] = None) -> Callable[[], None]:
    """A call that makes a step on the first batch of a training.

    Args:
        config (str | Path): Of a training; its checkpoint is not loaded.
        width (float, optional): Another ``widen_factor`` of all parts.
    """
    from mmyolo.registry import MODELS

    import yolo_world_rep  # noqa: F401  registers the models

    from ..engine.variables import find, resolve_variables
    cfg, _ = resolve_variables(Config.fromfile(config))
    if width is not None:
        for holder, name, _ in find(cfg._cfg_dict,
                                    ['model', '**', 'widen_factor']):
            holder[name] = width
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = MODELS.build(cfg.model).train()
        batch = next(iter(Runner.build_dataloader(
            cfg.train_dataloader, seed=0)))
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)

    def call() -> None:
        model.train_step(batch, optimizer)

    return call
