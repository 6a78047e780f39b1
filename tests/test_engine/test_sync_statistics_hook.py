from types import SimpleNamespace

import torch
from torch import nn

from yolo_world_rep.engine.hooks import sync_statistics_hook


def epoch(monkeypatch, ranks):
    """The statistics that the first of several ranks has afterwards."""
    own = ranks[0].clone()
    norm = nn.BatchNorm2d(own.numel())
    norm.running_mean.copy_(own)
    others = [rank.clone() for rank in ranks[1:]]

    def mean(tensors, op):
        # The other ranks' differences, as all ranks compute them.
        for tensor in tensors:
            if tensor is norm.running_mean:
                for other in others:
                    tensor.add_(other - own)
            tensor.div_(len(ranks))

    hook = sync_statistics_hook
    monkeypatch.setattr(hook, 'get_world_size', lambda: len(ranks))
    monkeypatch.setattr(hook, 'broadcast', lambda tensor: None)
    monkeypatch.setattr(hook, 'all_reduce_params', mean)
    hook.SyncStatisticsHook().after_train_epoch(
        SimpleNamespace(model=norm, hooks=[]))
    return norm.running_mean


def test_statistics_become_the_mean(monkeypatch):
    ranks = list(torch.randn(3, 50))
    torch.testing.assert_close(
        epoch(monkeypatch, ranks), torch.stack(ranks).mean(0))


def test_frozen_ones_keep_their_last_bit(monkeypatch):
    frozen = torch.randn(1000)
    assert not torch.equal((frozen + frozen + frozen) / 3, frozen)
    assert torch.equal(epoch(monkeypatch, [frozen] * 3), frozen)
