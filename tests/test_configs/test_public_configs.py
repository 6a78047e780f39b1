"""Configs in the form of the public ones run with this package.

They name classes and arguments as public YOLO-World configs do; only
``custom_imports`` and the paths are ours.
"""
import numpy as np
import pytest
import torch
from mmdet.apis import init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmyolo.registry import DATASETS, MODELS

HEAD = """
_base_ = 'mmyolo::yolov8/yolov8_s_mask-refine_syncbn_fast_8xb16-500e_coco.py'
custom_imports = dict(imports=['yolo_world_rep'], allow_failed_imports=False)

num_classes = 80
num_training_classes = 80
max_epochs = 80
close_mosaic_epochs = 10
text_channels = 64
neck_embed_channels = [128, 256, _base_.last_stage_out_channels // 2]
neck_num_heads = [4, 8, _base_.last_stage_out_channels // 2 // 32]
base_lr = 2e-4
weight_decay = 0.05
train_batch_size_per_gpu = 2
"""

NORMAL = HEAD + """
text_model_name = '{clip}'
model = dict(
    type='YOLOWorldDetector',
    mm_neck=True,
    num_train_classes=num_training_classes,
    num_test_classes=num_classes,
    data_preprocessor=dict(type='YOLOWDetDataPreprocessor'),
    backbone=dict(
        _delete_=True,
        type='MultiModalYOLOBackbone',
        image_model={{{{_base_.model.backbone}}}},
        text_model=dict(
            type='HuggingCLIPLanguageBackbone',
            model_name=text_model_name,
            frozen_modules=['all'])),
    neck=dict(
        type='YOLOWorldPAFPN',
        guide_channels=text_channels,
        embed_channels=neck_embed_channels,
        num_heads=neck_num_heads,
        block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(
        type='YOLOWorldHead',
        head_module=dict(
            type='YOLOWorldHeadModule',
            use_bn_head=True,
            embed_dims=text_channels,
            num_classes=num_training_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_training_classes)))

text_transform = [
    dict(
        type='RandomLoadText',
        num_neg_samples=(num_classes, num_classes),
        max_num_samples=num_training_classes,
        padding_to_max=True,
        padding_value=''),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'flip',
                   'flip_direction', 'texts'))
]
mosaic_affine_transform = [
    dict(
        type='MultiModalMosaic',
        img_scale=_base_.img_scale,
        pad_val=114.0,
        pre_transform=_base_.pre_transform),
    dict(type='YOLOv5CopyPaste', prob=0.3),
    dict(
        type='YOLOv5RandomAffine',
        max_rotate_degree=0.0,
        max_shear_degree=0.0,
        max_aspect_ratio=100.,
        scaling_ratio_range=(1 - _base_.affine_scale,
                             1 + _base_.affine_scale),
        border=(-_base_.img_scale[0] // 2, -_base_.img_scale[1] // 2),
        border_val=(114, 114, 114),
        min_area_ratio=_base_.min_area_ratio,
        use_mask_refine=_base_.use_mask2refine)
]
train_pipeline = [
    *_base_.pre_transform, *mosaic_affine_transform,
    dict(
        type='YOLOv5MultiModalMixUp',
        prob=0.15,
        pre_transform=[*_base_.pre_transform, *mosaic_affine_transform]),
    *_base_.last_transform[:-1], *text_transform
]
coco_train_dataset = dict(
    _delete_=True,
    type='MultiModalDataset',
    dataset=dict(
        type='YOLOv5CocoDataset',
        data_root='{data}/coco128',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False, min_size=32)),
    class_text_path='{data}/embeddings/coco80_texts.json',
    pipeline=train_pipeline)
train_dataloader = dict(
    persistent_workers=False,
    num_workers=0,
    batch_size=train_batch_size_per_gpu,
    collate_fn=dict(type='yolow_collate'),
    dataset=coco_train_dataset)
test_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(type='LoadText'),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'pad_param', 'texts'))
]
coco_val_dataset = dict(
    _delete_=True,
    type='MultiModalDataset',
    dataset=dict(
        type='YOLOv5CocoDataset',
        data_root='{data}/coco128',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        filter_cfg=dict(filter_empty_gt=False, min_size=32)),
    class_text_path='{data}/embeddings/coco80_texts.json',
    pipeline=test_pipeline)
val_dataloader = dict(dataset=coco_val_dataset)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='AdamW',
        lr=base_lr,
        weight_decay=weight_decay,
        batch_size_per_gpu=train_batch_size_per_gpu),
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        norm_decay_mult=0.0,
        custom_keys={{
            'backbone.text_model': dict(lr_mult=0.01),
            'logit_scale': dict(weight_decay=0.0)
        }}),
    constructor='YOLOWv5OptimizerConstructor')
"""

PROMPT_TUNING = HEAD.replace('text_channels = 64', 'text_channels = 512') + """
model = dict(
    type='SimpleYOLOWorldDetector',
    mm_neck=True,
    num_train_classes=num_training_classes,
    num_test_classes=num_classes,
    embedding_path='{data}/embeddings/coco80_clip_vit_b32.npy',
    prompt_dim=text_channels,
    num_prompts=80,
    data_preprocessor=dict(type='YOLOv5DetDataPreprocessor'),
    backbone=dict(
        _delete_=True,
        type='MultiModalYOLOBackbone',
        text_model=None,
        image_model={{{{_base_.model.backbone}}}},
        frozen_stages=4,
        with_text_model=False),
    neck=dict(
        type='YOLOWorldPAFPN',
        freeze_all=True,
        guide_channels=text_channels,
        embed_channels=neck_embed_channels,
        num_heads=neck_num_heads,
        block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(
        type='YOLOWorldHead',
        head_module=dict(
            type='YOLOWorldHeadModule',
            freeze_all=True,
            use_bn_head=True,
            embed_dims=text_channels,
            num_classes=num_training_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_training_classes)))
"""

V1_DUAL = PROMPT_TUNING.replace(
    'YOLOWorldPAFPN', 'YOLOWorldDualPAFPN').replace(
    "block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')",
    "block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv'),\n"
    "        text_enhancder=dict(type='ImagePoolingAttentionModule',\n"
    '                            embed_channels=256, num_heads=8)').replace(
        '            use_bn_head=True,\n', '')

EFFICIENT = PROMPT_TUNING.replace('MaxSigmoidCSPLayerWithTwoConv',
                                  'EfficientCSPLayerWithTwoConv')

REPARAMETERIZED = PROMPT_TUNING.replace(
    "    embedding_path='{data}/embeddings/coco80_clip_vit_b32.npy',\n"
    '    prompt_dim=text_channels,\n    num_prompts=80,\n',
    '    reparameterized=True,\n').replace(
        'guide_channels=text_channels', 'guide_channels=num_classes').replace(
            "type='MaxSigmoidCSPLayerWithTwoConv'",
            "type='RepConvMaxSigmoidCSPLayerWithTwoConv',\n"
            '                       guide_channels=num_classes').replace(
                "        type='YOLOWorldHead',\n", '').replace(
                    "type='YOLOWorldHeadModule',\n            freeze_all=True"
                    ',\n            use_bn_head=True,',
                    "type='RepYOLOWorldHeadModule',\n"
                    '            num_guide=num_classes,').replace(
                        'freeze_all=True,', '').replace(
                            'frozen_stages=4,', '')


@pytest.fixture
def load(tmp_path, shared_data):
    """Read a config of the texts above."""

    def read(text: str, **paths: str) -> Config:
        path = tmp_path / 'public.py'
        path.write_text(text.format(data=shared_data, **paths))
        cfg = Config.fromfile(path)
        init_default_scope(cfg.default_scope)
        # The widths of S are slow in tests; nothing else is changed.
        for part in (cfg.model.backbone.image_model, cfg.model.neck,
                     cfg.model.bbox_head.head_module):
            part.widen_factor = 0.125
        return cfg

    return read


@pytest.mark.parametrize(
    'text', [PROMPT_TUNING, V1_DUAL, EFFICIENT, REPARAMETERIZED],
    ids=['prompt tuning', 'v1 dual', 'efficient neck', 'reparameterized'])
def test_without_a_text_encoder(load, text):
    """One training step with the base's data, one prediction."""
    cfg = load(text)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    boxes = torch.tensor([[0, 3, 8, 8, 40, 40], [1, 79, 10, 5, 60, 50.]])
    batch = dict(
        inputs=torch.randint(0, 255, (2, 3, 64, 96), dtype=torch.uint8),
        data_samples=dict(bboxes_labels=boxes))
    losses = model.loss(**_fast(model, batch))
    sum(losses.values()).backward()
    moving = [p for p in model.parameters() if p.grad is not None]
    assert moving
    if text is PROMPT_TUNING:
        assert len(moving) == 1
        assert moving[0] is model.embeddings


def _fast(model, batch):
    data = model.data_preprocessor(batch, training=True)
    return dict(
        batch_inputs=data['inputs'], batch_data_samples=data['data_samples'])


def test_normal_fine_tuning(load, clip_folder):
    """With CLIP, texts drawn for each image, and mosaics of them."""
    cfg = load(NORMAL, clip=str(clip_folder))
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    loader = Runner.build_dataloader(cfg.train_dataloader)
    data = model.data_preprocessor(next(iter(loader)), training=True)
    assert [len(texts) for texts in data['data_samples']['texts']] == [80, 80]
    losses = model.loss(data['inputs'][..., ::4, ::4], data['data_samples'])
    sum(losses.values()).backward()
    assert not any(
        p.requires_grad for p in model.backbone.text_model.parameters())
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([dataset[0]]))
    model.eval()
    with torch.no_grad():
        sample = model.predict(batch['inputs'], batch['data_samples'])[0]
    assert set(sample.pred_instances.label_names) <= set(
        dataset.metainfo['classes'])


def test_as_the_demo_scripts_do(load, clip_folder, tmp_path):
    """mmdet's functions, an array for a file, words for each image."""
    cfg = load(NORMAL, clip=str(clip_folder))
    torch.save(
        dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}),
        tmp_path / 'text.pth')
    model = init_detector(
        cfg, checkpoint=str(tmp_path / 'text.pth'), device='cpu')
    steps = get_test_pipeline_cfg(cfg=cfg)
    steps[0].type = 'mmdet.LoadImageFromNDArray'
    pipeline = Compose(steps)
    texts = [['person'], ['bus'], [' ']]
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    found = []
    for fixed in (False, True):
        if fixed:
            model.reparameterize(texts)
        item = pipeline(dict(img_id=0, img=image, texts=texts))
        with torch.no_grad():
            found.append(model.test_step(dict(
                inputs=item['inputs'][None],
                data_samples=[item['data_samples']]))[0].pred_instances)
    assert len(found[0]) > 0
    assert set(found[0].labels.tolist()) <= {0, 1, 2}
    for part in ('bboxes', 'scores', 'labels'):
        torch.testing.assert_close(found[0][part], found[1][part])
