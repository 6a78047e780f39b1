"""Segmentation configs, the original's and ours, train, test and say AP."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmyolo.registry import MODELS
from tiny_training import (
    NAMES,
    SIDE,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'segmentation'
NORM = dict(type='BN', momentum=0.03, eps=0.001)
SWISH = dict(type='SiLU', inplace=True)
STRIDES = [8, 16, 32]
# Depth, width and the channels of the last stage.
SIZES = dict(m=(0.67, 0.75, 768), l=(1.0, 1.0, 512))
SEG = 'segmentation/yolo_world_{}_2e-4_80e_8gpus_{}_finetune_lvis.py'
#: The original's configs: size, v1's dual neck or not, only masks learn.
PUBLIC = {
    SEG.format(f'seg_{size}_dual_vlpan', name): (size, True, frozen)
    for size in SIZES
    for name, frozen in (('allmodules', False), ('seghead', True))
}
PUBLIC.update({
    SEG.format(f'v2_seg_{size}_vlpan_bn', 'seghead'): (size, False, True)
    for size in SIZES
})


def public_model(size, dual, frozen):
    """The settings of ``model`` in one of them, without a text encoder."""
    deep, wide, last = SIZES[size]
    channels = [256, 512, last]
    scale = dict(deepen_factor=deep, widen_factor=wide)
    layers = dict(norm_cfg=NORM, act_cfg=SWISH)
    model = dict(
        type='YOLOWorldDetector',
        mm_neck=True,
        num_train_classes=80,
        num_test_classes=1203,
        data_preprocessor=dict(
            type='YOLOWDetDataPreprocessor',
            mean=[0.] * 3,
            std=[255.] * 3,
            bgr_to_rgb=True),
        backbone=dict(
            type='MultiModalYOLOBackbone',
            image_model=dict(
                type='YOLOv8CSPDarknet',
                arch='P5',
                last_stage_out_channels=last,
                **layers,
                **scale)),
        neck=dict(
            type='YOLOWorldDualPAFPN' if dual else 'YOLOWorldPAFPN',
            in_channels=channels,
            out_channels=channels,
            num_csp_blocks=3,
            guide_channels=512,
            embed_channels=[128, 256, last // 2],
            num_heads=[4, 8, last // 64],
            block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv'),
            **layers,
            **scale),
        bbox_head=dict(
            type='YOLOWorldSegHead',
            head_module=dict(
                type='YOLOWorldSegHeadModule',
                num_classes=80,
                embed_dims=512,
                in_channels=channels,
                widen_factor=wide,
                featmap_strides=STRIDES,
                reg_max=16,
                mask_channels=32,
                proto_channels=256,
                **layers),
            mask_overlap=False,
            loss_mask=dict(
                type='mmdet.CrossEntropyLoss',
                use_sigmoid=True,
                reduction='none'),
            loss_mask_weight=1.0,
            prior_generator=dict(
                type='mmdet.MlvlPointGenerator', offset=0.5, strides=STRIDES),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            loss_cls=dict(
                type='mmdet.CrossEntropyLoss',
                use_sigmoid=True,
                reduction='none',
                loss_weight=0.5),
            loss_bbox=dict(
                type='IoULoss',
                iou_mode='ciou',
                bbox_format='xyxy',
                reduction='sum',
                loss_weight=7.5,
                return_iou=False),
            loss_dfl=dict(
                type='mmdet.DistributionFocalLoss',
                reduction='mean',
                loss_weight=0.375)),
        train_cfg=dict(
            assigner=dict(
                type='BatchTaskAlignedAssigner'
                if dual else 'YOLOWorldSegAssigner',
                num_classes=80,
                use_ciou=True,
                topk=10,
                alpha=0.5,
                beta=6.0,
                eps=1e-9)),
        test_cfg=dict(
            multi_label=True,
            nms_pre=30000,
            score_thr=0.001,
            nms=dict(type='nms', iou_threshold=0.7),
            max_per_img=300,
            mask_thr_binary=0.5,
            fast_test=True))
    if dual:
        model['neck']['text_enhancder'] = dict(
            type='ImagePoolingAttentionModule',
            embed_channels=256,
            num_heads=8)
    else:
        model['bbox_head']['head_module']['use_bn_head'] = True
    if frozen:
        model['backbone']['frozen_stages'] = 4
        model['neck']['freeze_all'] = True
        model['bbox_head']['head_module']['freeze_bbox'] = True
    return model


@pytest.mark.parametrize('name', PUBLIC)
def test_settings_keys_and_shapes_are_the_originals(name, golden_dir):
    """What is trained below is what its configs say."""
    original = json.loads(
        (golden_dir / 'original_configs.json').read_text())[name]['model']
    del original['backbone']['text_model'], original['_scope_']
    assert public_model(*PUBLIC[name]) == original

    keys = json.loads((golden_dir / 'original_keys.json').read_text())[name]
    original['backbone'].update(text_model=None, with_text_model=False)
    init_default_scope('mmyolo')
    with torch.device('meta'):
        state = MODELS.build(ConfigDict(original)).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == keys
    assert state['bbox_head.head_module.proto_pred.conv1.conv.weight'].shape[
        0] == 256


def pipelines():
    """For training, one mask a box, and for tests, both with texts."""
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True,
             mask2bbox=True)
    ]
    train = [
        *load,
        dict(type='MultiModalMosaic', img_scale=(SIDE, SIDE), pad_val=114.,
             pre_transform=load),
        dict(type='YOLOv5CopyPaste', prob=0.3),
        dict(
            type='YOLOv5RandomAffine',
            max_rotate_degree=0.,
            max_shear_degree=0.,
            scaling_ratio_range=(0.9, 1.1),
            border=(-SIDE // 2, -SIDE // 2),
            border_val=(114, ) * 3,
            min_area_ratio=0.01,
            use_mask_refine=True),
        dict(type='Polygon2Mask', downsample_ratio=4, mask_overlap=False),
        dict(
            type='RandomLoadText',
            num_neg_samples=(80, 80),
            max_num_samples=80,
            padding_to_max=True,
            padding_value=''),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'texts'))
    ]
    test = [
        dict(type='LoadImageFromFile'),
        dict(type='YOLOv5KeepRatioResize', scale=(SIDE, SIDE)),
        dict(
            type='LetterResize',
            scale=(SIDE, SIDE),
            allow_scale_up=False,
            pad_val=dict(img=114)),
        dict(type='LoadText'),
        dict(
            type='mmdet.PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'scale_factor', 'pad_param', 'texts'))
    ]
    return train, test


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Drawn images with masks, their texts and embeddings."""
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    (root / 'texts.json').write_text(json.dumps([[n] for n in NAMES]))
    vectors = np.random.default_rng(0).normal(size=(4, 512))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = dict(zip(['', *NAMES], torch.from_numpy(vectors).float()))
    torch.save(table, root / 'encoder.pth')
    return root


def loader(root, pipeline, train):
    data = dict(
        type='YOLOv5CocoDataset',
        data_root=f'{root}/',
        ann_file='annotations.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=NAMES),
        test_mode=not train)
    collate = 'yolow_collate' if train else 'pseudo_collate'
    return Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=train),
            collate_fn=dict(type=collate),
            dataset=dict(
                type='MultiModalDataset',
                dataset=data,
                class_text_path=str(root / 'texts.json'),
                pipeline=pipeline)),
        seed=0)


@pytest.mark.parametrize('name', PUBLIC)
def test_the_originals_train_two_steps_and_test(name, root):
    settings = public_model(*PUBLIC[name])
    for part in (settings['backbone']['image_model'], settings['neck'],
                 settings['bbox_head']['head_module']):
        part['widen_factor'] = 0.125
    settings['neck']['num_heads'] = [
        channels // 8 for channels in settings['neck']['embed_channels']
    ]
    settings['backbone']['text_model'] = dict(
        type='PseudoLanguageBackbone',
        text_embed_path=str(root / 'encoder.pth'))
    init_default_scope('mmyolo')
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(settings))
    model.init_weights()
    optimizer = build_optim_wrapper(
        model,
        ConfigDict(
            type='OptimWrapper',
            constructor='YOLOWv5OptimizerConstructor',
            optimizer=dict(
                type='AdamW',
                lr=2e-4,
                weight_decay=0.05,
                batch_size_per_gpu=2)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train, test = pipelines()
    steps = list(loader(root, train, True))
    model.train()
    for batch in steps:
        found = model.train_step(batch, optimizer)
        assert set(found) == {
            'loss', 'loss_cls', 'loss_bbox', 'loss_dfl', 'loss_mask'
        }
        assert all(torch.isfinite(value) for value in found.values())
        assert found['loss_mask'] > 0
    assert len(steps) == 2
    moved = {
        '.'.join(k.split('.')[:3]) for k, v in model.state_dict().items()
        if not torch.equal(v, before[k])
    }
    masks = {f'bbox_head.head_module.{n}' for n in ('seg_preds', 'proto_pred')}
    assert masks <= moved
    if PUBLIC[name][2]:
        assert moved == masks
    model.eval()
    count = 0
    for batch in loader(root, test, False):
        for sample in model.test_step(batch):
            instances = sample.pred_instances
            assert instances.masks.shape == (len(instances), SIDE, SIDE)
            assert set(instances.label_names) <= set(NAMES)
            count += 1
    assert count == 4


@pytest.mark.parametrize(
    'path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_ours_train_two_steps_and_test(path, root, tmp_path):
    cfg = read_config(path)
    data = dict(
        options(
            root,
            max_epochs=1,
            load_from=str(tmp_path / 'start.pth')),
        work_dir=str(tmp_path / 'run'))
    # Of M and L, the last stage has another width.
    last = cfg.model.neck.in_channels[-1]
    data['model.neck.num_heads'] = [16, 16, last // 32]
    cfg.merge_from_dict(data)
    tiny, _ = launch.resolve_variables(cfg)
    model = build_model(tiny)
    # Of the detector alone: the masks start from nothing.
    state = {
        name: tensor
        for name, tensor in checkpoint_of(model)['state_dict'].items()
        if 'seg_preds' not in name and 'proto_pred' not in name
    }
    torch.save(dict(checkpoint_of(model), state_dict=state), cfg.load_from)
    cfg = launch.config_for_training(
        cfg, str(path), work_dir=str(tmp_path / 'run'), cuda=False)
    runner = launch.build_runner(cfg)
    runner.train()
    found = losses(tmp_path / 'run')
    assert len(found) == 2
    assert all(np.isfinite(row['loss_mask']) for row in found)
    metrics = runner.test()
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(metrics)


def test_our_prototypes_are_as_wide_for_all_sizes():
    for path in FOLDER.glob('*.py'):
        cfg = Config.fromfile(path)
        init_default_scope('mmyolo')
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
        proto = model.bbox_head.head_module.proto_pred
        assert proto.conv2.conv.weight.shape[:2] == (256, 256)
