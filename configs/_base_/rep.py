# Reparameterized: the texts are weights of head and neck, the neck's of
# convolutions. Data and training are those of any mmyolo detector.
_base_ = './coco.py'

num_classes = _base_.num_classes  # also of texts folded into the checkpoint
num_padding = 0  # 1 if the neck has the padding prompt as well (--pad)

model = dict(
    type='SimpleYOLOWorldDetector',
    reparameterized=True,
    neck=dict(
        guide_channels=num_classes + num_padding,
        block_cfg=dict(
            type='RepConvMaxSigmoidCSPLayerWithTwoConv',
            guide_channels=num_classes + num_padding)),
    bbox_head=dict(
        head_module=dict(
            type='RepYOLOWorldHeadModule', num_guide=num_classes)))

derived_with = dict(num_padding=num_padding)
