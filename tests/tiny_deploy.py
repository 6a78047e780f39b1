"""A tiny folded detector with its config, to export."""
from pathlib import Path
from typing import NamedTuple

import torch
from builders import build_detector, detector_cfg, randomize
from mmengine.config import Config

NAMES = ('ball', 'box', 'kite')
SIZE = (64, 96)
PAD = 114
# As narrow and as shallow as it can be.
SMALL = dict(
    num_classes=len(NAMES),
    embed_dims=32,
    deepen_factor=0.01,
    last_stage_out_channels=512,
    embed_channels=(128, 256, 256),
    num_heads=(16, 16, 16))


class Files(NamedTuple):
    """A config and its checkpoint."""
    config: Path
    checkpoint: Path


def pipeline(size=SIZE) -> list:
    """A test pipeline of mmyolo."""
    scale = size[::-1]
    return [
        dict(type='LoadImageFromFile'),
        dict(type='YOLOv5KeepRatioResize', scale=scale),
        dict(
            type='LetterResize',
            scale=scale,
            allow_scale_up=False,
            pad_val=dict(img=PAD)),
        dict(type='LoadAnnotations', with_bbox=True, _scope_='mmdet'),
        dict(
            type='mmdet.PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'scale_factor', 'pad_param'))
    ]


def model_cfg(form='rep_conv', **changes) -> dict:
    """Of a detector with a preprocessor."""
    cfg = detector_cfg(form, **{**SMALL, **changes})
    cfg['data_preprocessor'] = dict(
        type='YOLOv5DetDataPreprocessor',
        mean=[0., 0., 0.],
        std=[255., 255., 255.],
        bgr_to_rgb=True)
    return cfg


def write_files(folder: Path, form='rep_conv', names=NAMES, shift=0.0,
                **changes) -> Files:
    """A config and a checkpoint of random weights.

    ``shift`` is added to all logits.
    """
    files = Files(folder / 'tiny.py', folder / 'tiny.pth')
    Config(
        dict(
            model=model_cfg(form, **changes),
            test_dataloader=dict(
                dataset=dict(
                    type='YOLOv5CocoDataset',
                    metainfo=dict(classes=NAMES),
                    pipeline=pipeline())))).dump(files.config)
    model = randomize(build_detector(form, **{**SMALL, **changes}))
    for name, tensor in model.state_dict().items():
        if 'cls_contrasts' in name and name.endswith('conv.bias'):
            tensor.add_(shift)
    torch.save(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=names)) if names else {}),
        files.checkpoint)
    return files
