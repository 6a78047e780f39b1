_base_ = [
    './yolo_world_v2_s_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py',
    '../_base_/sizes/l.py'
]
model = _base_.size.model
deepen_factor, widen_factor, last_stage_out_channels = _base_.size.scale
affine_scale = _base_.size.affine_scale
mixup_prob = _base_.size.mixup_prob
copypaste_prob = _base_.size.copypaste_prob
load_from = 'checkpoints/yolo_world_v2_l.pth'
