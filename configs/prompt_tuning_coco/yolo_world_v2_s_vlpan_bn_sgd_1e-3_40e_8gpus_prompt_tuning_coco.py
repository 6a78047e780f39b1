_base_ = './yolo_world_v2_s_vlpan_bn_sgd_1e-3_80e_8gpus_prompt_tuning_coco.py'
max_epochs = 40
