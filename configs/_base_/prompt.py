# Prompt tuning: the text embeddings are the only parameters that move.
_base_ = './coco.py'

embedding_path = 'embeddings/clip_vit_b32_coco_80_embeddings.npy'

num_classes = _base_.num_classes
text_channels = 512

model = dict(
    type='SimpleYOLOWorldDetector',
    embedding_path=embedding_path,
    prompt_dim=text_channels,
    num_prompts=num_classes,
    backbone=dict(frozen_stages=4),
    neck=dict(
        freeze_all=True,
        guide_channels=text_channels,
        block_cfg=dict(type='MaxSigmoidCSPLayerWithTwoConv')),
    bbox_head=dict(
        type='YOLOWorldHead',
        head_module=dict(type='YOLOWorldHeadModule', freeze_all=True)))

derived_with = dict(embedding_path=embedding_path)
