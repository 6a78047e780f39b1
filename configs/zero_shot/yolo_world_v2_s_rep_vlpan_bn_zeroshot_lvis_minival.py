# Evaluates a YOLO-World-v2-S with the 1,203 classes of LVIS v1 folded into it
# on LVIS minival, images of COCO val2017. Not for training: that part is
# COCO's, with other classes, and would be refused.
_base_ = './yolo_world_v2_s_rep_vlpan_bn_zeroshot_coco.py'

num_classes = 1203
val_ann_file = 'lvis/lvis_v1_minival_inserted_image_name.json'
val_data_prefix = ''  # the file says val2017/...
# The texts that were folded; their first synonyms name the classes.
class_text_path = 'data/texts/lvis_v1_class_texts.json'
load_from = 'checkpoints/lvis/yolo_world_v2_s_rep_conv.pth'

model = dict(
    num_train_classes=num_classes,
    num_test_classes=num_classes,
    neck=dict(
        guide_channels=num_classes,
        block_cfg=dict(guide_channels=num_classes)),
    bbox_head=dict(
        head_module=dict(num_guide=num_classes, num_classes=num_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_classes)))

val_dataloader = dict(
    dataset=dict(
        type='YOLOv5LVISV1Dataset',
        ann_file=val_ann_file,
        data_prefix=dict(img=val_data_prefix),
        class_text_path=class_text_path))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmdet.LVISMetric',
    ann_file=_base_.data_root + val_ann_file,
    metric='bbox')
test_evaluator = val_evaluator

derived_with = dict(
    num_classes=num_classes,
    val_ann_file=val_ann_file,
    val_data_prefix=val_data_prefix,
    class_text_path=class_text_path)
