_base_ = [
    './yolo_world_v2_s_vlpan_bn_2e-4_80e_8gpus_mask-refine_prompt_tuning_coco.py',
    '../_base_/sgd_without_masks.py'
]
use_mask2refine = False
copypaste_prob = 0.0
min_area_ratio = _base_.sgd.min_area_ratio
base_lr = _base_.sgd.base_lr
weight_decay = _base_.sgd.weight_decay
optim_wrapper = _base_.sgd.optim_wrapper
derived_with = dict(base_lr=base_lr, weight_decay=weight_decay)
