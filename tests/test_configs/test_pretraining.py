"""A pre-training config as the public ones are, rewritten, on tiny sets."""
import json

import pytest
import torch
from grounding_sets import (
    OBJECTS365,
    write_general,
    write_mixed,
    write_objects365,
)
from mmengine.config import Config
from tiny_training import losses

from yolo_world_rep.config.migration import migrate_config
from yolo_world_rep.engine import launch

CONFIG = """
_base_ = ('../../third_party/mmyolo/configs/yolov8/'
          'yolov8_s_syncbn_fast_8xb16-500e_coco.py')
custom_imports = dict(imports=['yolo_world'], allow_failed_imports=False)

num_classes = 1203
num_training_classes = 80
max_epochs = 1
close_mosaic_epochs = 0
text_channels = 64
neck_embed_channels = [128, 256, _base_.last_stage_out_channels // 2]
neck_num_heads = [4, 8, _base_.last_stage_out_channels // 2 // 32]
img_scale = (64, 64)
model = dict(
    type='YOLOWorldDetector',
    mm_neck=True,
    num_train_classes=num_training_classes,
    num_test_classes=num_classes,
    data_preprocessor=dict(type='YOLOWDetDataPreprocessor'),
    backbone=dict(
        _delete_=True,
        type='MultiModalYOLOBackbone',
        image_model={{_base_.model.backbone}},
        text_model=dict(
            type='HuggingCLIPLanguageBackbone',
            model_name='CLIP',
            frozen_modules=['all'])),
    neck=dict(type='YOLOWorldPAFPN',
              guide_channels=text_channels,
              embed_channels=neck_embed_channels,
              num_heads=neck_num_heads,
              block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(type='YOLOWorldHead',
                   head_module=dict(type='YOLOWorldHeadModule',
                                    use_bn_head=True,
                                    embed_dims=text_channels,
                                    num_classes=num_training_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_training_classes)))
text_transform = [
    dict(type='RandomLoadText',
         num_neg_samples=(num_classes, num_classes),
         max_num_samples=num_training_classes,
         padding_to_max=True,
         padding_value=''),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'flip',
                    'flip_direction', 'texts'))
]
train_pipeline = [
    *_base_.pre_transform,
    dict(type='MultiModalMosaic',
         img_scale=img_scale,
         pad_val=114.0,
         pre_transform=_base_.pre_transform),
    dict(type='YOLOv5RandomAffine',
         max_rotate_degree=0.0,
         max_shear_degree=0.0,
         scaling_ratio_range=(0.5, 1.5),
         max_aspect_ratio=_base_.max_aspect_ratio,
         border=(-img_scale[0] // 2, -img_scale[1] // 2),
         border_val=(114, 114, 114)),
    *_base_.last_transform[:-1],
    *text_transform,
]
filter_cfg = dict(filter_empty_gt=False, min_size=32)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='yolow_collate'),
    dataset=dict(_delete_=True,
                 type='ConcatDataset',
                 datasets=[
                     dict(type='MultiModalDataset',
                          dataset=dict(type='YOLOv5Objects365V1Dataset',
                                       filter_cfg=filter_cfg,
                                       **OBJECTS365),
                          class_text_path='TEXTS',
                          pipeline=train_pipeline),
                     dict(type='YOLOv5MixedGroundingDataset',
                          filter_cfg=filter_cfg,
                          pipeline=train_pipeline,
                          **MIXED),
                     dict(type='YOLOv5GeneralGroundingDataset',
                          filter_cfg=filter_cfg,
                          pipeline=train_pipeline,
                          **GENERAL)
                 ],
                 ignore_keys=['classes', 'palette']))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
default_hooks = dict(param_scheduler=dict(max_epochs=max_epochs),
                     logger=dict(interval=1))
custom_hooks = []
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop',
                 max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.025,
                   batch_size_per_gpu=2),
    paramwise_cfg=dict(
        bias_decay_mult=0.0, norm_decay_mult=0.0,
        custom_keys={'backbone.text_model': dict(lr_mult=0.01),
                     'logit_scale': dict(weight_decay=0.0)}),
    constructor='YOLOWv5OptimizerConstructor')
"""


@pytest.fixture
def config(tmp_path, clip_folder):
    """Detection, captions and pseudo-labelled captions, one of each."""
    texts = tmp_path / 'texts.json'
    texts.write_text(json.dumps([[name.lower()] for name in OBJECTS365]))
    text = CONFIG.replace("'CLIP'", repr(str(clip_folder)))
    text = text.replace("'TEXTS'", repr(str(texts)))
    for name, write in (('OBJECTS365', write_objects365),
                        ('MIXED', write_mixed), ('GENERAL', write_general)):
        text = text.replace(f'**{name}', f'**{write(tmp_path / name)!r}')
    path = tmp_path / 'original.py'
    path.write_text(text)
    done = migrate_config(path, tmp_path / 'pretrain.py')
    assert len(done.changes) == 2
    assert not done.remarks
    return done.path


def test_steps_of_a_pretraining(config, tmp_path):
    cfg = launch.config_for_training(
        Config.fromfile(config),
        str(config),
        work_dir=str(tmp_path / 'run'),
        cfg_options={
            # Another of one name would be written to in its place.
            'visualizer.name': str(tmp_path),
            **{
                f'model.{part}.widen_factor': 0.125
                for part in ('backbone.image_model', 'neck',
                             'bbox_head.head_module')
            }
        },
        cuda=False)
    launch.check_files(cfg, ('train_dataloader', ))
    runner = launch.build_runner(cfg)
    data = runner.build_dataloader(cfg.train_dataloader).dataset
    assert [len(part) for part in data.datasets] == [4, 3, 2]
    for index in range(len(data)):
        sample = data[index]['data_samples']
        assert len(sample.texts) == 80
        named = {sample.texts[i] for i in sample.gt_instances.labels}
        assert '' not in named
        if index >= 4:
            assert named <= {'red ball', 'box', 'two above', 'a box', 'ball',
                             'a kite'}
    before = runner.model.neck.top_down_layers[0].attn_block
    before = before.guide_fc.weight.detach().clone()
    runner.train()
    rows = losses(tmp_path / 'run')
    assert len(rows) == 5
    assert all(torch.isfinite(torch.tensor(row['loss'])) for row in rows)
    after = runner.model.neck.top_down_layers[0].attn_block.guide_fc.weight
    assert not torch.equal(before, after)
