# The neck without gates, from the checkpoint of one with them: texts meet the
# image in the head alone.
_base_ = (
    './yolo_world_v2_s_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py')
model = dict(
    neck=dict(block_cfg=dict(type='EfficientCSPLayerWithTwoConv')))
