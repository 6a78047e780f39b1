_base_ = [
    './yolo_world_v2_s_rep_vlpan_bn_zeroshot_lvis_minival.py',
    '../_base_/sizes/x.py'
]
model = _base_.size.model
deepen_factor, widen_factor, last_stage_out_channels = _base_.size.scale
load_from = 'checkpoints/lvis/yolo_world_v2_x_rep_conv.pth'
