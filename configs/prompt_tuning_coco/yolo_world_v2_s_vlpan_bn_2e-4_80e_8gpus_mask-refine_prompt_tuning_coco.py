# Tunes the text embeddings of YOLO-World-v2-S on COCO, and nothing else.
_base_ = '../_base_/prompt.py'
load_from = 'checkpoints/yolo_world_v2_s.pth'
