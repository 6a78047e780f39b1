# The same model with the texts of all 36 pairs folded into its weights, as
# tools/reparameterize_yoloworld.py makes it of a checkpoint of
# yolo_world_tiny_shapes.py, fine-tuned on a few images of all pairs.
_base_ = './yolo_world_tiny_shapes.py'

data_root = _base_.data_root
load_from = 'work_dirs/demo/text_rep_conv.pth'
num_classes = 36

max_epochs = 8
base_lr = 1e-3

model = dict(
    type='SimpleYOLOWorldDetector',
    reparameterized=True,
    num_train_classes=num_classes,
    num_test_classes=num_classes,
    data_preprocessor=dict(type='YOLOv5DetDataPreprocessor'),
    backbone=dict(text_model=None, with_text_model=False),
    neck=dict(
        guide_channels=num_classes,
        block_cfg=dict(type='RepConvMaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(
        type='YOLOv8Head',
        head_module=dict(
            type='RepYOLOWorldHeadModule',
            num_guide=num_classes,
            num_classes=num_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_classes)))

# No texts in the data any more.
train_pipeline = [
    *_base_.load_image,
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))
]
test_pipeline = [
    *_base_.test_pipeline[:-2],
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'pad_param'))
]
train_dataloader = dict(
    collate_fn=dict(type='yolov5_collate'),
    dataset=dict(
        _delete_=True,
        type='ShapesDataset',
        data_root=data_root + 'finetune',
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ShapesDataset',
        data_root=data_root + 'val',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=base_lr))
default_hooks = dict(
    param_scheduler=dict(max_epochs=max_epochs),
    checkpoint=dict(interval=max_epochs))
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)

derived_with = dict(max_epochs=max_epochs, base_lr=base_lr)
