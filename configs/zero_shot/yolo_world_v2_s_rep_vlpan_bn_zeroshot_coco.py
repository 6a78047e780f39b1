# Evaluates a folded YOLO-World-v2-S on COCO val2017, as it comes from the
# converter. For evaluation alone: training has no part in it.
_base_ = '../_base_/rep.py'
load_from = 'checkpoints/yolo_world_v2_s_rep_conv.pth'
train_dataloader = None
train_cfg = None
optim_wrapper = None
custom_hooks = []
