"""Every config: coherent, of the tensors it should have, and as it is named.

Its file says what differs from another; everything here is asserted of what
a run gets, with the variables carried on.
"""
import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Dict, Tuple

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from tiny_training import read_config

from yolo_world_rep.config.bindings import BINDINGS
from yolo_world_rep.config.variables import find, type_name
from yolo_world_rep.engine import check_config, resolve_variables

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
PATHS = sorted(FOLDER.glob('*/yolo_world_v2_*.py'))
FORMS = dict(
    finetune_coco=('rep_vlpan_bn', 'vlpan_bn', 'rep_efficient_neck',
                   'efficient_neck'),
    prompt_tuning_coco=('vlpan_bn', ))
SIZES = ('s', 'm', 'l', 'x', 'xl')
# How strongly mmyolo's recipe of each size augments; S as in the public
# configs of YOLO-World.
AUGMENTATION = dict(
    s=(0.5, 0.15, 0.3),
    m=(0.9, 0.1, 0.1),
    l=(0.9, 0.15, 0.3),
    x=(0.9, 0.15, 0.3),
    xl=(0.9, 0.15, 0.3))

every_config = pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)
every_training = pytest.mark.parametrize(
    'path', [p for p in PATHS if p.parent.name in FORMS],
    ids=lambda p: p.stem)


@cache
def written(path: Path) -> Config:
    """As the file has it; not to be changed, like those below."""
    return read_config(path)


@cache
def resolved(path: Path) -> Config:
    """As a run gets it."""
    return resolve_variables(written(path))[0]


@cache
def changed(path: Path) -> Config:
    """As a run gets it with another size of images and length."""
    cfg = copy.deepcopy(written(path))
    cfg.merge_from_dict(
        dict(img_scale=(320, 256), max_epochs=12, close_mosaic_epochs=3))
    return resolve_variables(cfg)[0]


def size_of(path: Path) -> str:
    return re.search(r'_(s|m|l|x|xl)_', path.stem)[1]


def form_of(path: Path) -> str:
    form = re.search(r'_(?:s|m|l|x|xl)_(.+?)_(?:2e-4|sgd|zeroshot)',
                     path.stem)[1]
    return 'prompt' if 'prompt' in path.stem else form


def places(cfg: Config, pattern: str) -> Dict[str, object]:
    """What stands where a pattern points, by its path."""
    return {
        path: container[key]
        for container, key, path in find(cfg._cfg_dict, pattern.split('.'))
    }


def steps(cfg: Config, kind: str) -> Tuple[dict, ...]:
    """Transforms of a type, in the pipelines that run."""
    roots = ('train_dataloader', 'val_dataloader', 'test_dataloader',
             'custom_hooks')
    return tuple(container for root in roots for container, key, _ in find(
        cfg._cfg_dict, (root, '**', f'[{kind}]', 'type')))


def test_the_family_is_complete():
    names = {path.stem for path in PATHS}
    for size in SIZES:
        for form in ('rep_vlpan_bn', 'vlpan_bn'):
            for recipe in ('2e-4_80e_8gpus_mask-refine',
                           'sgd_1e-3_80e_8gpus', 'sgd_1e-3_40e_8gpus'):
                name = f'yolo_world_v2_{size}_{form}_{recipe}'
                assert f'{name}_finetune_coco' in names
                if form == 'vlpan_bn':
                    assert f'{name}_prompt_tuning_coco' in names
        for form in ('rep_efficient_neck', 'efficient_neck'):
            assert (f'yolo_world_v2_{size}_{form}_2e-4_80e_8gpus_mask-refine'
                    f'_finetune_coco') in names
        for data in ('coco', 'lvis_minival'):
            assert (f'yolo_world_v2_{size}_rep_vlpan_bn_zeroshot_{data}'
                    in names)


@every_config
def test_is_coherent(path):
    cfg = resolved(path)
    check_config(cfg)
    assert resolve_variables(cfg)[1] == []
    assert 'yolo_world_rep' in cfg.custom_imports.imports
    assert cfg.custom_imports.allow_failed_imports is False
    # Under mmyolo's own tools and mim the same config runs.
    assert cfg.runner_type == 'VariablesRunner'
    assert re.match(
        rf'checkpoints/(lvis/)?yolo_world_v2_{size_of(path)}[_.]',
        cfg.load_from)


@every_config
def test_scale_is_stated_once(path):
    cfg = resolved(path)
    scales = {
        (name, value)
        for name in ('deepen_factor', 'widen_factor',
                     'last_stage_out_channels')
        for value in places(cfg, f'model.**.{name}').values()
    }
    assert scales == {
        ('deepen_factor', cfg.deepen_factor),
        ('widen_factor', cfg.widen_factor),
        ('last_stage_out_channels', cfg.last_stage_out_channels)
    }


@every_config
def test_everything_follows_from_the_variables(path):
    """The table of variables describes each config, with no exception."""
    cfg = resolved(path)
    record = cfg.derived_with
    for binding in BINDINGS:
        if not set(binding.needs) <= record.keys():
            continue
        wanted = binding.value(record)
        for place, value in places(cfg, binding.where).items():
            guides = place.endswith('guide_channels')
            if guides and not cfg.model.get('reparameterized'):
                wanted = 512  # the width of a text
            elif guides and 'num_padding' not in binding.needs:
                continue
            if place.startswith('tta_') or place.endswith('norm_cfg'):
                continue
            same = value == wanted or list(value) == list(wanted)
            assert same, (place, value, wanted)


@every_config
def test_image_size_reaches_every_pipeline(path):
    cfg = changed(path)
    for root in ('train_dataloader', 'val_dataloader', 'test_dataloader',
                 'custom_hooks'):
        assert '640' not in str(cfg[root])
        assert '320' in str(cfg[root])


@every_training
def test_is_what_its_name_says(path):
    cfg, name = resolved(path), path.stem
    epochs = int(re.search(r'_(\d+)e_', name)[1])
    optimizer = cfg.optim_wrapper.optimizer
    if 'sgd_1e-3' in name:
        assert optimizer == dict(
            type='SGD',
            lr=1e-3,
            momentum=0.937,
            weight_decay=5e-4,
            nesterov=True,
            batch_size_per_gpu=16)
    else:
        assert optimizer == dict(
            type='AdamW', lr=2e-4, weight_decay=0.05, batch_size_per_gpu=16)
    affine, mixup, copypaste = AUGMENTATION[size_of(path)]
    masks = 'mask-refine' in name
    assert {step.with_mask for step in steps(cfg, 'LoadAnnotations')
            if 'with_mask' in step} == {masks}
    assert {step.mask2bbox for step in steps(cfg, 'LoadAnnotations')
            if 'mask2bbox' in step} == {masks}
    assert {(step.use_mask_refine, step.min_area_ratio,
             tuple(step.scaling_ratio_range))
            for step in steps(cfg, 'YOLOv5RandomAffine')} == {
                (masks, 0.01 if masks else 0.1, (1 - affine, 1 + affine))}
    assert {step.prob for step in steps(cfg, 'YOLOv5CopyPaste')} == {
        copypaste if masks else 0.0}
    text = form_of(path) in ('vlpan_bn', 'efficient_neck')
    mix = 'YOLOv5MultiModalMixUp' if text else 'YOLOv5MixUp'
    assert [step.prob for step in steps(cfg, mix)] == [mixup]
    assert cfg.train_cfg.max_epochs == epochs


@every_training
@pytest.mark.parametrize('variant', [resolved, changed],
                         ids=['shipped', 'changed'])
def test_schedule_agrees_with_its_length(path, variant):
    cfg = variant(path)
    check_config(cfg)
    epochs = cfg.max_epochs
    last = epochs - cfg.close_mosaic_epochs
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.train_cfg.val_interval == 5
    assert cfg.train_cfg.dynamic_intervals == [(last, 1)]
    scheduler = cfg.default_hooks.param_scheduler
    assert scheduler.max_epochs == epochs
    # The warm-up from 0.1, a rate of SGD's biases from scratch, is off.
    assert scheduler.warmup_bias_lr == 0
    switch, = (hook for hook in cfg.custom_hooks
               if type_name(hook) == 'PipelineSwitchHook')
    assert switch.switch_epoch == last
    closed = str(switch.switch_pipeline)
    assert not re.search('Mosaic|MixUp|CopyPaste', closed)


_SHAPES: Dict[str, Dict[str, list]] = {}


def shapes(path: Path) -> Dict[str, list]:
    """Names and shapes of a config's tensors, without the text encoder."""
    model = resolved(path).model.to_dict()
    if 'text_model' in model['backbone']:
        model['backbone'].update(text_model=None, with_text_model=False)
    # Rows of a file; the default draws as many.
    model.pop('embedding_path', None)
    key = json.dumps(model, sort_keys=True, default=str)
    if key not in _SHAPES:
        init_default_scope('mmyolo')
        with torch.device('meta'):
            built = MODELS.build(Config(model)._cfg_dict)
        _SHAPES[key] = {
            name: list(tensor.shape)
            for name, tensor in built.state_dict().items()
        }
    return _SHAPES[key]


def without_guides(tensors):
    """Without what the gate of a guided layer has."""
    return {
        name: shape
        for name, shape in tensors.items()
        if '.attn_block.' not in name or '.project_conv.' in name
    }


@every_config
def test_has_the_official_tensors(path, golden_dir):
    size, form = size_of(path), form_of(path)
    found = dict(shapes(path))
    if 'seg' in path.stem:
        found = {
            name: shape
            for name, shape in found.items()
            if not re.search(r'head_module\.(seg_preds|proto_pred)', name)
        }
    if form == 'prompt':
        assert found.pop('embeddings') == [80, 512]
    if size == 'xl':  # no list of an official checkpoint to compare with
        other = shapes(path.with_name(path.name.replace('_xl_', '_x_')))
        a_head_each = re.compile(r'guide_convs|^embeddings$')
        assert {name for name in found if not a_head_each.search(name)} == {
            name for name in other if not a_head_each.search(name)}
        stem = 'backbone.image_model.stem.conv.weight'
        assert (found[stem][0], other[stem][0]) == (96, 80)
        return
    file = golden_dir / f'keys_yolo_world_v2_{size}.json'
    official = json.loads(file.read_text())[
        'rep_conv' if 'rep' in form else 'text']
    if 'lvis' in path.stem:
        official = {
            name: [1203, *shape[1:]] if re.search(
                r'guide_convs|cls_contrasts\.\d\.conv', name) else shape
            for name, shape in official.items()
        }
    if 'efficient' in form:
        official = without_guides(official)
    assert found == official
