# A text-conditioned YOLO-World, as small as it can be, for the world of
# coloured shapes that tools/demo.py generates. It is trained without 12 of
# the 36 pairs of colour and shape, and tested with all of them.
_base_ = 'mmyolo::_base_/default_runtime.py'

custom_imports = dict(imports=['yolo_world_rep'], allow_failed_imports=False)

# Where tools/demo.py put the images and the embeddings of their classes.
data_root = '{{$SHAPES_ROOT:work_dirs/demo/world}}/'

# ------------------------------- training -------------------------------
max_epochs = 6
base_lr = 4e-3
weight_decay = 0.02
train_batch_size_per_gpu = 16

# --------------------------------- model --------------------------------
num_train_texts = 24  # asked for in a training image, absent ones included
text_channels = 128  # width of a text embedding
channels = [256, 512, 512]  # of the levels, before the width is scaled
scale = dict(deepen_factor=0.33, widen_factor=0.125)
# Momentum 0.03, as in longer trainings, would leave the statistics behind.
norm_cfg = dict(type='BN', momentum=0.1, eps=0.001)

model = dict(
    type='YOLOWorldDetector',
    mm_neck=True,
    num_train_classes=num_train_texts,
    num_test_classes=36,
    data_preprocessor=dict(
        type='YOLOWDetDataPreprocessor',
        mean=[0., 0., 0.],
        std=[255., 255., 255.],
        bgr_to_rgb=True),
    backbone=dict(
        type='MultiModalYOLOBackbone',
        image_model=dict(
            type='YOLOv8CSPDarknet',
            arch='P5',
            last_stage_out_channels=channels[-1],
            norm_cfg=norm_cfg,
            **scale),
        text_model=dict(
            type='PseudoLanguageBackbone',
            text_embed_path=data_root + 'all_pairs.npy')),
    neck=dict(
        type='YOLOWorldPAFPN',
        in_channels=channels,
        out_channels=channels,
        guide_channels=text_channels,
        embed_channels=[128, 256, 256],
        num_heads=[4, 8, 8],
        num_csp_blocks=3,
        norm_cfg=norm_cfg,
        block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv'),
        **scale),
    bbox_head=dict(
        type='YOLOWorldHead',
        head_module=dict(
            type='YOLOWorldHeadModule',
            in_channels=channels,
            widen_factor=scale['widen_factor'],
            num_classes=num_train_texts,
            embed_dims=text_channels,
            use_bn_head=True,
            norm_cfg=norm_cfg)),
    train_cfg=dict(
        assigner=dict(
            type='BatchTaskAlignedAssigner',
            num_classes=num_train_texts,
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
        max_per_img=100))

# --------------------------------- data ---------------------------------
load_image = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True)
]
train_pipeline = [
    *load_image,
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomLoadText',
        num_neg_samples=(num_train_texts, num_train_texts),
        max_num_samples=num_train_texts),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'texts'))
]
test_pipeline = [
    *load_image,
    # The images have their size already; this only notes it down.
    dict(type='LetterResize', scale=(160, 160), allow_scale_up=False),
    dict(type='LoadText'),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'pad_param', 'texts'))
]
train_dataloader = dict(
    batch_size=train_batch_size_per_gpu,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='yolow_collate'),
    dataset=dict(
        type='MultiModalDataset',
        dataset=dict(type='ShapesDataset', data_root=data_root + 'train'),
        class_text_path=data_root + 'train/texts.json',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=25,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiModalDataset',
        dataset=dict(
            type='ShapesDataset',
            data_root=data_root + 'val',
            test_mode=True),
        class_text_path=data_root + 'val/texts.json',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='ExactCocoMetric',
    metric='bbox',
    ann_file=data_root + 'val/annotations.json')
test_evaluator = val_evaluator

# ------------------------------- schedule -------------------------------
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, weight_decay=weight_decay),
    paramwise_cfg=dict(bias_decay_mult=0., norm_decay_mult=0.),
    clip_grad=dict(max_norm=10.))
default_hooks = dict(
    logger=dict(interval=10),
    param_scheduler=dict(
        type='YOLOv5ParamSchedulerHook',
        scheduler_type='cosine',
        lr_factor=0.02,
        max_epochs=max_epochs,
        warmup_epochs=1,
        warmup_mim_iter=0,
        warmup_bias_lr=0.),
    checkpoint=dict(interval=max_epochs))
randomness = dict(seed=0)
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# What was derived from these; tools/train.py carries a change of them on.
derived_with = dict(
    max_epochs=max_epochs,
    base_lr=base_lr,
    weight_decay=weight_decay,
    train_batch_size_per_gpu=train_batch_size_per_gpu)
