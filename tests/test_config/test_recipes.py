"""What a recipe freezes stays to the bit, and the rest trains."""
from pathlib import Path

import pytest
import torch
from tiny_training import (
    build_model,
    checkpoint_of,
    tiny_config,
    write_images,
)

from yolo_world_rep.config.recipes import (
    PARTS,
    RECIPES,
    frozen_parts,
    lr_mults,
)
from yolo_world_rep.engine import launch

PREFIXES = dict(backbone='backbone.', neck='neck.', head='bbox_head.')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_images(root, 8)
    torch.save(
        checkpoint_of(build_model(tiny_config(root, root))),
        root / 'rep_conv.pth')
    return root


@pytest.mark.parametrize('name', RECIPES)
def test_frozen_parts_are_as_before_and_the_others_are_not(
        data, tmp_path, name):
    cfg = tiny_config(
        data, tmp_path, **{
            'model.frozen': [PARTS[part] for part in RECIPES[name]],
            'base_lr': 1e-2,
            'default_hooks.param_scheduler.warmup_epochs': 0,
            'default_hooks.param_scheduler.warmup_mim_iter': 0,
            'custom_hooks.0.ema_type': 'ExactExpMomentumEMA',
            'custom_hooks.0.momentum': 0.3,
            'custom_hooks.0.gamma': 1,
        })
    launch.build_runner(cfg).train()

    before = torch.load(data / 'rep_conv.pth', weights_only=False)
    saved = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    # The averaged weights and, under the other name, the trained ones.
    trained = {
        key[len('module.'):]: tensor
        for key, tensor in saved['ema_state_dict'].items()
        if key.startswith('module.')
    }
    for state in (saved['state_dict'], trained):
        assert state.keys() == before['state_dict'].keys()
        for part, prefix in PREFIXES.items():
            changed = {
                key: not torch.equal(tensor, state[key])
                for key, tensor in before['state_dict'].items()
                if key.startswith(prefix)
                # A single layer's bias may have no gradient.
                and key.endswith(('weight', 'running_mean', 'running_var'))
            }
            assert len(changed) > 10
            if part in RECIPES[name]:
                assert not any(changed.values()), part
            else:
                assert sum(changed.values()) > 0.95 * len(changed), part
                for ending in ('running_mean', 'running_var'):
                    assert all(v for k, v in changed.items()
                               if k.endswith(ending)), part
        for key, tensor in before['state_dict'].items():
            if any(key.startswith(PREFIXES[part])
                   for part in RECIPES[name]):
                assert torch.equal(tensor, state[key]), key
    assert not torch.equal(
        trained['bbox_head.head_module.cls_contrasts.0.conv.weight'],
        saved['state_dict'][
            'bbox_head.head_module.cls_contrasts.0.conv.weight'])


@pytest.mark.parametrize('part', PARTS)
def test_a_part_that_is_frozen_has_no_gradients(data, tmp_path, part):
    cfg = tiny_config(data, tmp_path, **{'model.frozen': [PARTS[part]]})
    model = build_model(cfg).train()
    inside = dict(guides='.guide_', classes='.conv.').get(part, '')
    around = dict(guides='neck.', classes='bbox_head.head_module.cls_contr')
    start = around.get(part, PREFIXES.get(part))
    for name, parameter in model.named_parameters():
        frozen = name.startswith(start) and inside in name
        assert parameter.requires_grad != frozen, name
    statistics = [module.training for name, module in model.named_modules()
                  if isinstance(module, torch.nn.BatchNorm2d)
                  and name.startswith(start)]
    assert len(statistics) > 2
    assert all(statistics) == (part in around)
    assert part in around or not any(statistics)


def test_nothing_is_frozen_by_a_wrong_name(data, tmp_path):
    cfg = tiny_config(data, tmp_path, **{'model.frozen': ['backbon']})
    with pytest.raises(ValueError, match="'backbon' is the name of nothing"):
        build_model(cfg)


@pytest.mark.parametrize(('recipe', 'freeze', 'message'), [
    ('full', ['spine'], "`freeze` 'spine': expected one of backbone, neck"),
    ('head', ['head'], "`freeze` head leaves nothing of the recipe 'head'"),
])
def test_what_cannot_be_frozen(recipe, freeze, message):
    with pytest.raises(ValueError, match=message):
        frozen_parts(recipe, freeze)


def test_parts_are_parts_of_the_model(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    factors = dict(zip(PARTS, (0.1, 0.2, 0.3, 0.4, 0.5)))
    cfg.optim_wrapper.paramwise_cfg.lr_mults = lr_mults('full', factors)
    model = build_model(cfg)
    from mmengine.optim import build_optim_wrapper
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(p): n for n, p in model.named_parameters()}
    rates = {
        names[id(group['params'][0])]: group['lr'] / 2e-4
        for group in wrapper.optimizer.param_groups
    }
    assert len(rates) == len(names)
    for name, rate in rates.items():
        part = ('guides' if '.guide_' in name else
                'classes' if 'cls_contrasts' in name and '.conv.' in name
                else 'head' if name.startswith('bbox_head.') else
                name.split('.')[0])
        assert rate == pytest.approx(factors[part]), name
    assert sum(r == pytest.approx(0.3) for r in rates.values()) >= 4


@pytest.mark.parametrize(('recipe', 'multipliers', 'message'), [
    ('all', {}, "`recipe` 'all': expected one of full, neck-head, head"),
    ('full', dict(spine=1), "'spine'; expected one of backbone, neck"),
    ('neck-head', dict(backbone=0.1), "'neck-head' freezes it"),
    ('head', dict(guides=0.1), "'head' freezes it"),
    ('full', dict(neck=0.), 'expected a positive number'),
])
def test_multipliers_that_make_no_sense(recipe, multipliers, message):
    with pytest.raises(ValueError, match=message):
        lr_mults(recipe, multipliers)


def test_a_neck_without_guides_has_none_to_train():
    with pytest.raises(ValueError, match="'guides'; expected one of"):
        lr_mults('full', dict(guides=0.5), guided=False)
