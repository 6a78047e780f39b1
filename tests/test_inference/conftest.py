"""A config with its checkpoint, as the tests of inference want them."""
import pytest
import torch
from builders import detector_cfg, randomize
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS

SIZE = (64, 96)
NAMES = tuple('abcdefg')
PREPROCESSOR = dict(
    type='YOLOv5DetDataPreprocessor',
    mean=[0., 0., 0.],
    std=[255., 255., 255.],
    bgr_to_rgb=True)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='YOLOv5KeepRatioResize', scale=SIZE[::-1]),
    dict(
        type='LetterResize',
        scale=SIZE[::-1],
        allow_scale_up=False,
        pad_val=dict(img=114)),
    dict(type='mmdet.PackDetInputs')
]


@pytest.fixture
def trained(tmp_path):
    """A config file and its checkpoint, of a form."""

    def make(form='rep_conv', meta=None, **changes):
        cfg = detector_cfg(form, data_preprocessor=PREPROCESSOR, **changes)
        init_default_scope('mmyolo')
        model = randomize(MODELS.build(ConfigDict(cfg))).eval()
        # Else most scores are 1 to all digits, in no order.
        for contrast in model.bbox_head.head_module.cls_contrasts:
            if hasattr(contrast, 'logit_scale'):
                contrast.logit_scale.data.fill_(-4.)
            else:
                contrast.conv.weight.data.mul_(0.2)
        config = tmp_path / 'model.py'
        Config(
            dict(
                model=cfg,
                test_dataloader=dict(
                    dataset=dict(
                        type='YOLOv5CocoDataset',
                        metainfo=dict(classes=NAMES),
                        pipeline=PIPELINE)))).dump(config)
        checkpoint = tmp_path / 'model.pth'
        torch.save(
            dict(state_dict=model.state_dict(), meta=meta or {}), checkpoint)
        return config, checkpoint, model

    return make
