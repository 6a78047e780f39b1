_base_ = [
    './yolo_world_v2_seg_s_rep_vlpan_bn_2e-4_80e_8gpus_finetune_coco.py',
    '../_base_/sizes/m.py'
]
model = _base_.size.model
deepen_factor, widen_factor, last_stage_out_channels = _base_.size.scale
affine_scale = _base_.size.affine_scale
copypaste_prob = _base_.size.copypaste_prob
load_from = 'checkpoints/yolo_world_v2_m_rep_conv.pth'
