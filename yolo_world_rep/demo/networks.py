"""The networks of the demo's models: how far apart, and a call to time."""
from typing import Callable

import torch
from torch import Tensor, nn


@torch.no_grad()
def logits(model: nn.Module, batch: dict) -> Tensor:
    """Classification logits of a batch, all levels, (B, N, positions)."""
    data = model.data_preprocessor(batch, False)
    inputs = data['inputs'].to(next(model.parameters()).dtype)
    features = model.extract_feat(inputs, data['data_samples'])
    levels = model.bbox_head.forward(features)[0]
    return torch.cat([level.flatten(2) for level in levels], dim=2)


def relative_difference(one: nn.Module, other: nn.Module,
                        batch: dict) -> float:
    """Largest difference of two models' logits over their range."""
    first, second = logits(one, batch), logits(other, batch)
    return float((first - second).abs().max() / (first.max() - first.min()))


def forward_call(model: nn.Module, batch: dict) -> Callable[[], None]:
    """A call of the network on a batch's first image: no loading, no NMS."""
    one = {key: value[:1] for key, value in batch.items()}
    data = model.data_preprocessor(one, False)

    @torch.no_grad()
    def call() -> None:
        features = model.extract_feat(data['inputs'], data['data_samples'])
        model.bbox_head.forward(features)

    return call
