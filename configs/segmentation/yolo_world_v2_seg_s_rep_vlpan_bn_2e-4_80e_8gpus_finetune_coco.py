# Fine-tunes a reparameterized YOLO-World-v2-Seg-S on COCO's masks. It starts
# from a reparameterized detector, the mask branches from nothing.
_base_ = ('../finetune_coco/yolo_world_v2_s_rep_vlpan_bn_2e-4_80e_8gpus'
          '_mask-refine_finetune_coco.py')

model = dict(
    bbox_head=dict(
        type='RepYOLOWorldSegHead',
        head_module=dict(
            type='RepYOLOWorldSegHeadModule',
            mask_channels=32,
            proto_channels=256),
        loss_mask_weight=7.5),  # as the boxes', as YOLOv8-Seg weighs them
    test_cfg=dict(
        mask_thr_binary=0.5,
        # Masks are enlarged before they are cut at the threshold.
        fast_test=True))

# The detector's pipelines drop the masks that they refined the boxes with;
# here they are drawn. There is no mixup, which would lay masks over another.
last_transform = [
    transform for transform in _base_.last_transform[:-1]
    if transform['type'] != 'RemoveDataElement'
] + [
    dict(type='Polygon2Mask', downsample_ratio=4, mask_overlap=True),
    # mmyolo's, which takes the map that Polygon2Mask draws.
    dict(_base_.last_transform[-1], type='PackDetInputs')
]
train_pipeline = [
    *_base_.pre_transform, *_base_.mosaic_affine_transform, *last_transform
]
# The last epochs: load, letterbox, and what follows as above.
train_pipeline_stage2 = [
    *_base_.train_pipeline_stage2[:-len(_base_.last_transform)],
    *last_transform
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    _base_.custom_hooks[0],
    dict(
        type='mmdet.PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=train_pipeline_stage2)
]

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator

# For a converted segmentation checkpoint: fresh=[], and load it.
default_hooks = dict(
    checkpoint_guard=dict(fresh=[
        'bbox_head.head_module.seg_preds', 'bbox_head.head_module.proto_pred'
    ]))
