# The scale of YOLOv8-M, and how strongly mmyolo's recipe for it augments.
size = dict(
    # deepen_factor, widen_factor, last_stage_out_channels
    scale=(0.67, 0.75, 768),
    model=dict(
        backbone=dict(
            image_model=dict(
                last_stage_out_channels=768,
                deepen_factor=0.67,
                widen_factor=0.75)),
        neck=dict(
            deepen_factor=0.67,
            widen_factor=0.75,
            in_channels=[256, 512, 768],
            out_channels=[256, 512, 768],
            embed_channels=[128, 256, 384],
            num_heads=[4, 8, 12]),
        bbox_head=dict(
            head_module=dict(
                widen_factor=0.75, in_channels=[256, 512, 768]))),
    affine_scale=0.9,
    mixup_prob=0.1,
    copypaste_prob=0.1)
