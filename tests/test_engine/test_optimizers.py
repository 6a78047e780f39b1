import copy

import pytest
import torch
from torch import nn

from yolo_world_rep.engine import YOLOWv5OptimizerConstructor
from yolo_world_rep.engine.optimizers.yolow_v5_optim_constructor import (
    scaled_weight_decay,
)


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.logit_scale = nn.Parameter(torch.ones(()))


def groups(wrapper, model):
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(group['params'][0])]: group
        for group in wrapper.optimizer.param_groups
    }


def test_scaling_is_that_of_mmyolo():
    from mmyolo.engine.optimizers import YOLOv5OptimizerConstructor
    for batch in (1, 2, 16, 48, 64, 128, 200):
        cfg = dict(
            type='OptimWrapper',
            optimizer=dict(
                type='SGD', lr=1., weight_decay=0.05,
                batch_size_per_gpu=batch))
        theirs = YOLOv5OptimizerConstructor(copy.deepcopy(cfg))(Net())
        assert scaled_weight_decay(0.05, batch, 1, 64) == pytest.approx(
            theirs.optimizer.param_groups[0]['weight_decay'])
    # 8 GPUs with 16 images are twice the base.
    assert scaled_weight_decay(0.05, 16, 8, 64) == pytest.approx(0.1)


def test_options_apply_to_the_scaled_value():
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(
            type='AdamW', lr=2e-4, weight_decay=0.05, batch_size_per_gpu=128))
    paramwise = dict(
        bias_decay_mult=0.0,
        norm_decay_mult=0.0,
        custom_keys={'logit_scale': dict(weight_decay=0.0)})
    before = copy.deepcopy((cfg, paramwise))
    model = Net()
    constructor = YOLOWv5OptimizerConstructor(cfg, paramwise)
    for _ in range(2):  # and not scaled again by a second call
        found = groups(constructor(model), model)
        decays = {name: g['weight_decay'] for name, g in found.items()}
        assert decays == {
            'conv.weight': pytest.approx(0.1),
            'conv.bias': 0,
            'bn.weight': 0,
            'bn.bias': 0,
            'logit_scale': 0
        }
        assert found['conv.weight']['lr'] == 2e-4
    assert (cfg, paramwise) == before


def test_accumulated_batches_count_as_one():
    def decay(batch, **wrapper):
        cfg = dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1., weight_decay=0.05,
                           batch_size_per_gpu=batch), **wrapper)
        model = Net()
        built = YOLOWv5OptimizerConstructor(cfg, {})(model)
        return built.optimizer.param_groups[0]['weight_decay']

    assert decay(128) == pytest.approx(0.1)
    assert decay(32, accumulative_counts=4) == pytest.approx(0.1)
    # Below the base mmyolo takes them for accumulated anyway.
    assert decay(16, accumulative_counts=4) == decay(16)


def test_without_batch_size_nothing_scales():
    cfg = dict(
        optimizer=dict(type='AdamW', lr=1., weight_decay=0.05))
    model = Net()
    wrapper = YOLOWv5OptimizerConstructor(
        cfg, dict(base_total_batch_size=1, norm_decay_mult=0.))(model)
    assert groups(wrapper, model)['conv.weight']['weight_decay'] == 0.05


def test_batch_sizes_must_be_positive():
    with pytest.raises(ValueError, match='batch_size_per_gpu=0'):
        scaled_weight_decay(0.05, 0, 1, 64)


class TestLearningRateMultipliers:

    CFG = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))

    def build(self, model, **mults):
        paramwise = dict(
            bias_decay_mult=0.,
            norm_decay_mult=0.,
            lr_mults={k.replace('__', '.'): v for k, v in mults.items()})
        return YOLOWv5OptimizerConstructor(self.CFG, paramwise)(model)

    def test_longest_pattern_counts_and_decay_stays_as_it_is(self):
        model = nn.ModuleDict(dict(neck=Net(), head=Net()))
        found = groups(
            self.build(model, neck=0.5, neck__bn=0.1, head__logit_scale=3),
            model)
        rates = {name: g['lr'] / 1e-3 for name, g in found.items()}
        assert rates == pytest.approx({
            'neck.conv.weight': 0.5, 'neck.conv.bias': 0.5,
            'neck.bn.weight': 0.1, 'neck.bn.bias': 0.1,
            'neck.logit_scale': 0.5,
            'head.conv.weight': 1, 'head.conv.bias': 1, 'head.bn.weight': 1,
            'head.bn.bias': 1, 'head.logit_scale': 3
        })
        # mmengine's custom_keys would decay the norms of the neck.
        decays = {name: g['weight_decay'] for name, g in found.items()}
        for part in ('neck', 'head'):
            assert decays[f'{part}.conv.weight'] == 0.05
            assert decays[f'{part}.conv.bias'] == 0
            assert decays[f'{part}.bn.weight'] == 0

    def test_names_of_nothing_are_refused(self):
        with pytest.raises(ValueError, match=r"lr_mults: \['nek'\]"):
            self.build(Net(), nek=0.5)
        # A part of a name is not a name.
        with pytest.raises(ValueError, match=r"lr_mults: \['con'\]"):
            self.build(Net(), con=0.5)

    @pytest.mark.parametrize('factor', [0, -1, float('nan')])
    def test_zero_is_no_way_to_freeze(self, factor):
        with pytest.raises(ValueError, match='freeze it'):
            self.build(Net(), conv=factor)
