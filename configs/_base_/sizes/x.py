# The scale of YOLOv8-X, and how strongly mmyolo's recipe for it augments.
size = dict(
    # deepen_factor, widen_factor, last_stage_out_channels
    scale=(1.0, 1.25, 512),
    model=dict(
        backbone=dict(
            image_model=dict(
                last_stage_out_channels=512,
                deepen_factor=1.0,
                widen_factor=1.25)),
        neck=dict(
            deepen_factor=1.0,
            widen_factor=1.25,
            in_channels=[256, 512, 512],
            out_channels=[256, 512, 512],
            embed_channels=[128, 256, 256],
            num_heads=[4, 8, 8]),
        bbox_head=dict(
            head_module=dict(
                widen_factor=1.25, in_channels=[256, 512, 512]))),
    affine_scale=0.9,
    mixup_prob=0.15,
    copypaste_prob=0.3)
