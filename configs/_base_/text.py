# Text-conditioned, with the texts drawn for each image and encoded by CLIP:
# normal fine-tuning.
_base_ = './coco.py'

text_model_name = 'openai/clip-vit-base-patch32'  # or a local folder
class_text_path = 'data/texts/coco_class_texts.json'  # [["person"], ...]

num_classes = _base_.num_classes
text_channels = 512

model = dict(
    type='YOLOWorldDetector',
    data_preprocessor=dict(type='YOLOWDetDataPreprocessor'),
    backbone=dict(
        with_text_model=True,
        text_model=dict(
            type='HuggingCLIPLanguageBackbone',
            model_name=text_model_name,
            frozen_modules=['all'])),
    neck=dict(
        guide_channels=text_channels,
        block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(
        type='YOLOWorldHead', head_module=dict(type='YOLOWorldHeadModule')))

text_transform = [
    dict(
        type='RandomLoadText',
        num_neg_samples=(num_classes, num_classes),
        max_num_samples=num_classes,
        padding_to_max=True,
        padding_value=''),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'flip',
                   'flip_direction', 'texts'))
]
mosaic_affine_transform = [
    dict(_base_.mosaic_affine_transform[0], type='MultiModalMosaic'),
    *_base_.mosaic_affine_transform[1:]
]
train_pipeline = [
    *_base_.pre_transform, *mosaic_affine_transform,
    dict(
        type='YOLOv5MultiModalMixUp',
        prob=_base_.mixup_prob,
        pre_transform=[*_base_.pre_transform, *mosaic_affine_transform]),
    *_base_.last_transform[:-1], *text_transform
]
train_pipeline_stage2 = [
    *_base_.custom_hooks[1].switch_pipeline[:-1], *text_transform
]
test_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(type='LoadText'),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'pad_param', 'texts'))
]

train_dataloader = dict(
    collate_fn=dict(type='yolow_collate'),
    dataset=dict(
        _delete_=True,
        type='MultiModalDataset',
        dataset=dict(
            type=_base_.dataset_type,
            data_root=_base_.data_root,
            ann_file=_base_.train_ann_file,
            data_prefix=dict(img=_base_.train_data_prefix),
            metainfo=_base_.metainfo,
            filter_cfg=dict(filter_empty_gt=False, min_size=32)),
        class_text_path=class_text_path,
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiModalDataset',
        dataset=dict(
            type=_base_.dataset_type,
            data_root=_base_.data_root,
            ann_file=_base_.val_ann_file,
            data_prefix=dict(img=_base_.val_data_prefix),
            metainfo=_base_.metainfo,
            test_mode=True),
        class_text_path=class_text_path,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'backbone.text_model': dict(lr_mult=0.01)}))
custom_hooks = [
    _base_.custom_hooks[0],
    dict(_base_.custom_hooks[1], switch_pipeline=train_pipeline_stage2)
]

derived_with = dict(
    text_model_name=text_model_name, class_text_path=class_text_path)
