"""A call of a network, to be timed."""
from typing import Callable

import torch
from torch import nn


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
