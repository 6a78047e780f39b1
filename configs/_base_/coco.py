# The fine-tuning recipe on COCO, for any form of the model.
_base_ = './finetune_recipe.py'

# What to change for other data, in a child config of these lines or on the
# command line; tools/train.py carries a change of any of them to wherever it
# belongs.
num_classes = 80
class_names = None  # ('cat', 'dog', ...) in the order of the file; None: COCO
data_root = 'data/coco/'
train_ann_file = 'annotations/instances_train2017.json'
train_data_prefix = 'train2017/'
val_ann_file = 'annotations/instances_val2017.json'
val_data_prefix = 'val2017/'

model = dict(
    mm_neck=True,
    num_train_classes=num_classes,
    num_test_classes=num_classes,
    backbone=dict(
        _delete_=True,
        type='MultiModalYOLOBackbone',
        image_model={{_base_.model.backbone}},
        with_text_model=False),
    neck=dict(
        type='YOLOWorldPAFPN',
        embed_channels=[128, 256, _base_.last_stage_out_channels // 2],
        num_heads=[4, 8, _base_.last_stage_out_channels // 2 // 32]),
    bbox_head=dict(
        head_module=dict(
            embed_dims=512,  # width of a text embedding
            use_bn_head=True,
            num_classes=num_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_classes)))

metainfo = dict(classes=class_names) if class_names else dict()
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file=train_ann_file,
        data_prefix=dict(img=train_data_prefix),
        metainfo=metainfo))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file=val_ann_file,
        data_prefix=dict(img=val_data_prefix),
        metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='ExactCocoMetric', ann_file=data_root + val_ann_file)
test_evaluator = val_evaluator

derived_with = dict(
    num_classes=num_classes,
    class_names=class_names,
    data_root=data_root,
    train_ann_file=train_ann_file,
    train_data_prefix=train_data_prefix,
    val_ann_file=val_ann_file,
    val_data_prefix=val_data_prefix)
