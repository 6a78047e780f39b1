# The fine-tuning recipe that the configs of ../finetune_coco share: schedule,
# augmentation, optimizer, hooks. What depends on the model, its classes or
# the data stands in those configs.
_base_ = 'mmyolo::yolov8/yolov8_s_mask-refine_syncbn_fast_8xb16-500e_coco.py'

custom_imports = dict(imports=['yolo_world_rep'], allow_failed_imports=False)
# Carries variables on where our tools/train.py does not: under mim.
runner_type = 'VariablesRunner'

# ------------------------------- schedule -------------------------------
max_epochs = 80
close_mosaic_epochs = 10  # the last epochs, without mosaic and mixup
save_epoch_intervals = 5  # of checkpoints and of validation before those
val_interval_stage2 = 1  # of validation in them
lr_factor = 0.01  # share of the learning rate that is left at the end

base_lr = 2e-4
weight_decay = 0.05  # at 64 images a step, see the optimizer constructor
train_batch_size_per_gpu = 16

# ----------------------------- augmentation -----------------------------
img_scale = (640, 640)  # width, height
affine_scale = 0.5  # images are scaled by 1 - 0.5 to 1 + 0.5
mixup_prob = 0.15
# These two need masks. Annotations of boxes only: use_mask2refine = False.
copypaste_prob = 0.3
use_mask2refine = _base_.use_mask2refine

mosaic_affine_transform = [
    dict(
        type='Mosaic',
        img_scale=img_scale,
        pad_val=114.0,
        pre_transform=_base_.pre_transform),
    dict(type='YOLOv5CopyPaste', prob=copypaste_prob),
    dict(
        type='YOLOv5RandomAffine',
        max_rotate_degree=0.0,
        max_shear_degree=0.0,
        max_aspect_ratio=100.,
        scaling_ratio_range=(1 - affine_scale, 1 + affine_scale),
        border=(-img_scale[0] // 2, -img_scale[1] // 2),
        border_val=(114, 114, 114),
        min_area_ratio=_base_.min_area_ratio,
        use_mask_refine=use_mask2refine)
]
train_pipeline = [
    *_base_.pre_transform, *mosaic_affine_transform,
    dict(
        type='YOLOv5MixUp',
        prob=mixup_prob,
        pre_transform=[*_base_.pre_transform, *mosaic_affine_transform]),
    *_base_.last_transform
]

train_dataloader = dict(
    batch_size=train_batch_size_per_gpu,
    # The base's function under its own name: inherited through 'mmyolo::' it
    # would get a '_scope_' argument.
    collate_fn=dict(_delete_=True, type='yolov5_collate'),
    dataset=dict(pipeline=train_pipeline))

# ------------------------------- training -------------------------------
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
        custom_keys={'logit_scale': dict(weight_decay=0.0)}),
    constructor='YOLOWv5OptimizerConstructor')

train_cfg = dict(
    max_epochs=max_epochs,
    val_interval=save_epoch_intervals,
    dynamic_intervals=[((max_epochs - close_mosaic_epochs),
                        val_interval_stage2)])

default_hooks = dict(
    # The bias learning rate of 0.1 that the hook warms up from is one of
    # SGD, and with AdamW's groups it would hit a single parameter.
    param_scheduler=dict(
        scheduler_type='linear',
        lr_factor=lr_factor,
        max_epochs=max_epochs,
        warmup_bias_lr=0.0),
    checkpoint=dict(interval=save_epoch_intervals),
    epoch_seed=dict(type='EpochSeedHook'),
    checkpoint_guard=dict(type='CheckpointGuardHook'))

custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0001,
        update_buffers=True,
        strict_load=False,
        priority=49),
    dict(
        type='mmdet.PipelineSwitchHook',
        switch_epoch=max_epochs - close_mosaic_epochs,
        switch_pipeline=_base_.train_pipeline_stage2)
]

# What the values above and the base's were derived with. Training and testing
# compare: a child config or --cfg-options may set any of these alone.
derived_with = dict(
    max_epochs=max_epochs,
    close_mosaic_epochs=close_mosaic_epochs,
    save_epoch_intervals=save_epoch_intervals,
    val_interval_stage2=val_interval_stage2,
    lr_factor=lr_factor,
    base_lr=base_lr,
    weight_decay=weight_decay,
    train_batch_size_per_gpu=train_batch_size_per_gpu,
    val_batch_size_per_gpu=_base_.val_batch_size_per_gpu,
    train_num_workers=_base_.train_num_workers,
    val_num_workers=_base_.val_num_workers,
    persistent_workers=_base_.persistent_workers,
    norm_cfg=_base_.norm_cfg,
    img_scale=img_scale,
    use_mask2refine=use_mask2refine,
    min_area_ratio=_base_.min_area_ratio,
    affine_scale=affine_scale,
    mixup_prob=mixup_prob,
    copypaste_prob=copypaste_prob)
