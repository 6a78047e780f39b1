# Normal fine-tuning of a text-conditioned YOLO-World-v2-S on COCO.
_base_ = '../_base_/text.py'
load_from = 'checkpoints/yolo_world_v2_s.pth'
