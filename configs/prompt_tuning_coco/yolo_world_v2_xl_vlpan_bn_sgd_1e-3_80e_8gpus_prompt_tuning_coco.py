_base_ = [
    './yolo_world_v2_s_vlpan_bn_sgd_1e-3_80e_8gpus_prompt_tuning_coco.py',
    '../_base_/sizes/xl.py'
]
model = _base_.size.model
deepen_factor, widen_factor, last_stage_out_channels = _base_.size.scale
affine_scale = _base_.size.affine_scale
mixup_prob = _base_.size.mixup_prob
load_from = 'checkpoints/yolo_world_v2_xl.pth'
