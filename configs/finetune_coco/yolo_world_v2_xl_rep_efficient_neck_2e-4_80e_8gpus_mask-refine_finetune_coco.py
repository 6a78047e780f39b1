_base_ = (
    './yolo_world_v2_xl_rep_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py')
model = dict(
    neck=dict(block_cfg=dict(type='EfficientCSPLayerWithTwoConv')))
load_from = 'checkpoints/yolo_world_v2_xl_efficient_neck_rep_conv.pth'
