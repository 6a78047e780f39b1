# Evaluates a folded YOLO-World-v2-S on COCO val2017, as it comes from the
# converter. Fine-tuning is evaluated in the same way.
_base_ = '../_base_/rep.py'
load_from = 'checkpoints/yolo_world_v2_s_rep_conv.pth'
