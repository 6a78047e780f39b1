import pytest
import torch
from mmdet.models.layers import ExpMomentumEMA
from torch import nn

from yolo_world_rep.engine import ExactExpMomentumEMA


def averaged(kind, frozen, steps=300):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    ema = kind(model, momentum=0.01, gamma=20, update_buffers=True)
    for step in range(steps):
        ema.update_parameters(model)
        if not frozen:
            with torch.no_grad():
                model[0].weight += torch.randn_like(model[0].weight) * 0.1
                model[1].running_mean += 0.01 * step
    return model.state_dict(), ema.module.state_dict()


def test_average_of_what_does_not_change_stays_to_the_bit():
    weights, average = averaged(ExactExpMomentumEMA, frozen=True)
    assert all(torch.equal(weights[key], average[key]) for key in weights)


def test_the_common_formula_drifts():
    # The wrong twin: what made a class of our own necessary.
    weights, average = averaged(ExpMomentumEMA, frozen=True)
    assert not torch.equal(weights['0.weight'], average['0.weight'])


def test_it_is_the_same_average():
    weights, average = averaged(ExactExpMomentumEMA, frozen=False)
    _, theirs = averaged(ExpMomentumEMA, frozen=False)
    for key in ('0.weight', '1.running_mean'):
        torch.testing.assert_close(average[key], theirs[key], rtol=1e-4,
                                   atol=1e-5)
        difference = (average[key] - weights[key]).abs().max()
        assert difference > 100 * (average[key] - theirs[key]).abs().max()


def test_hook_finds_it_by_name():
    from mmengine.registry import MODELS, init_default_scope
    init_default_scope('mmyolo')
    built = MODELS.build(
        dict(type='ExactExpMomentumEMA', momentum=0.1),
        default_args=dict(model=nn.Linear(2, 2)))
    assert isinstance(built, ExactExpMomentumEMA)
    with pytest.raises(AssertionError):
        ExactExpMomentumEMA(nn.Linear(2, 2), gamma=0)
