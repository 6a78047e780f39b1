"""The reparameterized fine-tuning of S, which the others derive from."""
import shutil

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmyolo.registry import DATASETS
from tiny_training import CONFIG

from yolo_world_rep.engine import check_config, resolve_variables


@pytest.fixture(scope='module')
def cfg() -> Config:
    return Config.fromfile(CONFIG)


def test_recipe(cfg):
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay,
            optimizer.batch_size_per_gpu) == ('AdamW', 2e-4, 0.05, 16)
    assert cfg.optim_wrapper.constructor == 'YOLOWv5OptimizerConstructor'
    paramwise = cfg.optim_wrapper.paramwise_cfg
    assert paramwise.bias_decay_mult == paramwise.norm_decay_mult == 0
    assert paramwise.custom_keys.logit_scale.weight_decay == 0
    assert cfg.train_dataloader.batch_size == 16
    assert cfg.train_cfg.max_epochs == 80
    assert cfg.train_cfg.val_interval == 5
    assert cfg.train_cfg.dynamic_intervals == [(70, 1)]
    decay = cfg.default_hooks.param_scheduler
    assert (decay.scheduler_type, decay.lr_factor,
            decay.max_epochs) == ('linear', 0.01, 80)
    ema, switch = cfg.custom_hooks
    assert (ema.type, ema.momentum) == ('EMAHook', 1e-4)
    assert switch.switch_epoch == 70
    assert cfg.val_evaluator.type == 'ExactCocoMetric'


def kinds(pipeline):
    return [step['type'] for step in pipeline]


def test_augmentation(cfg):
    pipeline = cfg.train_dataloader.dataset.pipeline
    steps = {step['type']: step for step in pipeline}
    assert kinds(pipeline)[2:6] == [
        'Mosaic', 'YOLOv5CopyPaste', 'YOLOv5RandomAffine', 'YOLOv5MixUp'
    ]
    assert steps['YOLOv5CopyPaste'].prob == 0.3
    assert steps['YOLOv5MixUp'].prob == 0.15
    assert steps['YOLOv5RandomAffine'].use_mask_refine
    assert steps['LoadAnnotations'].with_mask
    # The image mixed in is a mosaic itself.
    assert kinds(steps['YOLOv5MixUp'].pre_transform)[2:] == [
        'Mosaic', 'YOLOv5CopyPaste', 'YOLOv5RandomAffine'
    ]
    last = kinds(cfg.custom_hooks[1].switch_pipeline)
    assert not {'Mosaic', 'YOLOv5MixUp', 'YOLOv5CopyPaste'} & set(last)


def test_pipeline_runs_on_real_images(cfg, shared_data):
    init_default_scope('mmyolo')
    copy, _ = resolve_variables(
        Config({
            **cfg._cfg_dict.to_dict(), 'data_root': f'{shared_data}/coco128/',
            'img_scale': (160, 160),
            'mixup_prob': 1.0,
            'copypaste_prob': 1.0
        }))
    dataset = DATASETS.build(copy.train_dataloader.dataset)
    for index in range(3):
        sample = dataset[index]
        assert sample['inputs'].shape == (3, 160, 160)
        assert len(sample['data_samples'].gt_instances) > 0


def test_child_config_of_a_few_lines(tmp_path):
    child = tmp_path / 'mine.py'
    child.write_text(f"""_base_ = {str(CONFIG)!r}
num_classes = 2
class_names = ('cat', 'dog')
data_root = 'data/pets/'
max_epochs = 20
load_from = 'pets.pth'
default_hooks = dict(checkpoint_guard=dict(fresh=['neck']))
""")
    cfg, _ = resolve_variables(Config.fromfile(child))
    check_config(cfg)
    assert cfg.model.bbox_head.head_module.num_classes == 2
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cat', 'dog')
    assert cfg.val_evaluator.ann_file == (
        'data/pets/annotations/instances_val2017.json')
    assert cfg.custom_hooks[1].switch_epoch == 10
    assert cfg.default_hooks.checkpoint_guard == dict(
        type='CheckpointGuardHook', fresh=['neck'])
    assert cfg.load_from == 'pets.pth'


def test_variables_at_the_top_rule_the_files(tmp_path):
    # Edited in place, as plain mmengine reads them.
    shutil.copytree(CONFIG.parents[1], tmp_path / 'configs')
    data = tmp_path / 'configs' / '_base_' / 'coco.py'
    data.write_text(data.read_text().replace(
        'num_classes = 80', 'num_classes = 4').replace(
            '\'data/coco/\'', '\'mine/\''))
    cfg = Config.fromfile(tmp_path / 'configs' / CONFIG.parent.name /
                          CONFIG.name)
    check_config(cfg)
    assert resolve_variables(cfg)[1] == []
    assert cfg.model.neck.guide_channels == 4
    assert cfg.val_evaluator.ann_file.startswith('mine/')


@pytest.mark.parametrize(('change', 'classes', 'guides'), [
    (dict(num_padding=1), 80, 81),
    (dict(num_classes=3, num_padding=1), 3, 4),
    (dict(num_classes=3), 3, 3),
])
def test_padding_is_a_guide_and_no_class(cfg, change, classes, guides):
    cfg = Config(cfg._cfg_dict.copy())
    cfg.merge_from_dict(change)
    model = resolve_variables(cfg)[0].model
    assert model.neck.guide_channels == guides
    assert model.neck.block_cfg.guide_channels == guides
    assert model.bbox_head.head_module.num_guide == classes
