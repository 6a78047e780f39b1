# Fine-tunes a reparameterized YOLO-World-v2-S (convolutions in head and
# neck) on COCO or on data of your own.
_base_ = '../_base_/finetune_recipe.py'

# What to change for other data, here or in a child config of these lines;
# tools/train.py carries a change of any of them to wherever it belongs.
num_classes = 80  # also the number of texts folded into the checkpoint
num_padding = 0  # 1 if the neck has the padding prompt as well (--pad)
class_names = None  # ('cat', 'dog', ...) in the order of the texts; None: COCO
data_root = 'data/coco/'
train_ann_file = 'annotations/instances_train2017.json'
train_data_prefix = 'train2017/'
val_ann_file = 'annotations/instances_val2017.json'
val_data_prefix = 'val2017/'
load_from = 'checkpoints/yolo_world_v2_s_rep_conv.pth'

text_channels = 512  # width of a text embedding

model = dict(
    type='SimpleYOLOWorldDetector',
    reparameterized=True,
    mm_neck=True,
    num_train_classes=num_classes,
    num_test_classes=num_classes,
    backbone=dict(
        _delete_=True,
        type='MultiModalYOLOBackbone',
        image_model={{_base_.model.backbone}},
        text_model=None,
        with_text_model=False),
    neck=dict(
        type='YOLOWorldPAFPN',
        guide_channels=num_classes + num_padding,
        embed_channels=[128, 256, _base_.last_stage_out_channels // 2],
        num_heads=[4, 8, _base_.last_stage_out_channels // 2 // 32],
        block_cfg=dict(
            type='RepConvMaxSigmoidCSPLayerWithTwoConv',
            guide_channels=num_classes + num_padding)),
    bbox_head=dict(
        head_module=dict(
            type='RepYOLOWorldHeadModule',
            embed_dims=text_channels,
            num_guide=num_classes,
            num_classes=num_classes,
            use_bn_head=True)),
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
val_evaluator = dict(ann_file=data_root + val_ann_file)
test_evaluator = val_evaluator

derived_with = dict(
    num_classes=num_classes,
    num_padding=num_padding,
    class_names=class_names,
    data_root=data_root,
    train_ann_file=train_ann_file,
    train_data_prefix=train_data_prefix,
    val_ann_file=val_ann_file,
    val_data_prefix=val_data_prefix)
