# Fine-tunes a reparameterized YOLO-World-v2-S (convolutions in head and
# neck) on COCO or on data of your own: ../_base_/coco.py has what to change.
_base_ = '../_base_/rep.py'
load_from = 'checkpoints/yolo_world_v2_s_rep_conv.pth'
