"""Detectors and golden models as the tests want them."""
import json
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from torch import Tensor, nn

NORM_CFG = dict(type='BN', momentum=0.03, eps=0.001)
CHANNELS = [256, 512, 1024]
BLOCKS = dict(
    text_neck='MaxSigmoidCSPLayerWithTwoConv',
    text='MaxSigmoidCSPLayerWithTwoConv',
    rep_conv='RepConvMaxSigmoidCSPLayerWithTwoConv',
    rep_linear='RepMaxSigmoidCSPLayerWithTwoConv')

EFFICIENT = 'EfficientCSPLayerWithTwoConv'

GOLDEN = ('v2_bn', 'v2_bn_unnormalized', 'v1_l2norm', 'v1_dual_l2norm',
          'v2_bn_efficient')


class Golden:
    """One golden model: how it is built, its weights, text and outputs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.config = json.loads((folder / f'{name}.json').read_text())
        self.path = folder / f'{name}.pth'
        self.text_path = folder / f'{name}_text.npy'
        self.state_dict = torch.load(
            self.path, weights_only=True)['state_dict']
        self.text = torch.from_numpy(np.load(self.text_path))
        self.io = {
            key: torch.from_numpy(value)
            for key, value in np.load(folder / f'{name}_io.npz').items()
        }

    @property
    def outputs(self):
        """The expected outputs, by name."""
        return {k: v for k, v in self.io.items() if k != 'image'}


def detector_cfg(form: str = 'text',
                 num_classes: int = 7,
                 embed_dims: int = 64,
                 use_bn_head: bool = True,
                 dual: Optional[dict] = None,
                 widen_factor: float = 0.125,
                 deepen_factor: float = 0.33,
                 last_stage_out_channels: int = 1024,
                 embed_channels=(128, 256, 512),
                 num_heads=(16, 16, 32),
                 pretrain_classes: int = 80,
                 block: Optional[dict] = None,
                 masks: int = 0,
                 **detector) -> dict:
    """Config of a detector in one of its forms.

    Args:
        form (str): 'text', 'rep_conv', 'rep_linear', or 'text_neck' for
            a folded head under a text-conditioned neck.
        dual (dict, optional): The dual neck's text enhancer.
        block (dict, optional): More arguments of the CSP layers.
        masks (int): Coefficients of a mask, 0 without masks.
        **detector: More arguments of the detector.
    """
    folded = form != 'text'
    channels = [*CHANNELS[:2], last_stage_out_channels]
    scale = dict(deepen_factor=deepen_factor, widen_factor=widen_factor)
    guide_channels = num_classes if 'rep' in form else embed_dims
    neck = dict(
        type='YOLOWorldPAFPN',
        in_channels=channels,
        out_channels=channels,
        guide_channels=guide_channels,
        embed_channels=list(embed_channels),
        num_heads=list(num_heads),
        num_csp_blocks=3,
        norm_cfg=NORM_CFG,
        block_cfg={'type': BLOCKS[form], **(block or {})},
        **scale)
    if dual is not None:
        neck.update(type='YOLOWorldDualPAFPN', text_enhancder=dual)
        if 'rep' in form:
            neck.update(
                type='RepYOLOWorldDualPAFPN',
                text_channels=embed_dims,
                bottom_up_block_cfg=dict(
                    type=BLOCKS['text'], **(block or {})))
    head_module = dict(
        type='YOLOWorldHeadModule',
        num_classes=num_classes,
        embed_dims=embed_dims,
        use_bn_head=use_bn_head,
        in_channels=channels,
        widen_factor=widen_factor,
        norm_cfg=NORM_CFG,
        pretrain_classes=pretrain_classes)
    if folded:
        head_module.update(type='RepYOLOWorldHeadModule',
                           num_guide=num_classes)
    cfg = dict(
        type='SimpleYOLOWorldDetector',
        mm_neck=True,
        reparameterized=folded,
        prompt_dim=embed_dims,
        num_prompts=num_classes,
        backbone=dict(
            type='MultiModalYOLOBackbone',
            with_text_model=False,
            image_model=dict(
                type='YOLOv8CSPDarknet',
                arch='P5',
                last_stage_out_channels=last_stage_out_channels,
                norm_cfg=NORM_CFG,
                **scale)),
        neck=neck,
        bbox_head=dict(
            type='YOLOv8Head' if folded else 'YOLOWorldHead',
            head_module=head_module),
        train_cfg=dict(
            assigner=dict(
                type='BatchTaskAlignedAssigner',
                num_classes=num_classes,
                use_ciou=True,
                topk=10,
                alpha=0.5,
                beta=6.0,
                eps=1e-9)),
        test_cfg=dict(
            multi_label=True,
            nms_pre=30000,
            score_thr=0.001,
            nms=dict(type='nms', iou_threshold=0.7),
            max_per_img=300))
    if masks:
        rep = 'Rep' if folded else ''
        cfg['bbox_head']['type'] = f'{rep}YOLOWorldSegHead'
        head_module.update(
            type=f'{rep}YOLOWorldSegHeadModule',
            mask_channels=masks,
            proto_channels=16)
        cfg['test_cfg'].update(mask_thr_binary=0.5, fast_test=True)
    cfg.update(detector)
    return cfg


def encoder_detector_cfg(table, **kwargs) -> dict:
    """Config of YOLO-World with a table in place of its text encoder."""
    cfg = detector_cfg(**kwargs)
    for key in ('reparameterized', 'prompt_dim', 'num_prompts'):
        cfg.pop(key)
    cfg.update(type='YOLOWorldDetector', num_train_classes=7)
    cfg['backbone'].update(
        with_text_model=True,
        text_model=dict(
            type='PseudoLanguageBackbone', text_embed_path=str(table)))
    return cfg


def build_detector(form: str = 'text', **kwargs) -> nn.Module:
    """A detector in evaluation mode, see :func:`detector_cfg`."""
    init_default_scope('mmyolo')
    return MODELS.build(ConfigDict(detector_cfg(form, **kwargs))).eval()


def text_state(model: nn.Module) -> dict:
    """What a checkpoint of a text-conditioned detector holds: no texts."""
    return {name: tensor for name, tensor in model.state_dict().items()
            if name != 'embeddings'}


def golden_detector(golden, form: str = 'text') -> nn.Module:
    """The detector of a golden model, in float64, without its weights."""
    config = golden.config
    dual = dict(
        type='ImagePoolingAttentionModule',
        embed_channels=32,
        num_heads=4,
        pool_size=3) if config['neck'] == 'dual' else None
    block = dict(
        type=EFFICIENT) if config['neck'] == 'pafpn_efficient' else None
    hidden = golden.state_dict[
        'bbox_head.head_module.cls_preds.0.0.conv.weight']
    return build_detector(
        form,
        num_classes=config['num_classes'],
        embed_dims=config['embed_dims'],
        use_bn_head=config['head'] == 'bn',
        dual=dual,
        block=block,
        widen_factor=config['widen_factor'],
        deepen_factor=config['deepen_factor'],
        embed_channels=config['embed_channels'],
        num_heads=config['num_heads'],
        pretrain_classes=len(hidden)).double()


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, biases, scales and statistics, none at its default."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        with torch.no_grad():
            tensor.copy_(low + (high - low) * torch.rand(
                tensor.shape, generator=generator))

    for name, tensor in model.state_dict().items():
        if name.endswith('running_var'):
            uniform(tensor, 0.5, 1.5)
        elif tensor.is_floating_point() and tensor.dim() < 2:
            uniform(tensor, -0.5, 0.5)
            if name.endswith(('bn.weight', 'norm.weight')):
                tensor.add_(1.0)
        elif tensor.is_floating_point() and 'scale' in name:
            uniform(tensor, 0.5, 1.5)
        elif tensor.is_floating_point():
            bound = (3 / tensor[0].numel())**0.5
            uniform(tensor, -1.5 * bound, 1.5 * bound)
    return model


def run_detector(model: nn.Module, image: Tensor,
                 text: Optional[Tensor] = None) -> dict:
    """Neck features, logits and boxes of every level, by golden's names.

    Args:
        text (Tensor, optional): (N, D), exactly as given to neck and head.
    """
    with torch.no_grad():
        features = model.backbone.forward_image(image)
        if text is None:
            neck = model.neck(features)
            cls, bbox = model.bbox_head(neck)
        else:
            text = text.expand(len(image), -1, -1)
            neck = model.neck(features, text)
            cls, bbox = model.bbox_head((neck, text))
    outputs = {}
    for name, levels in (('neck', neck), ('cls', cls), ('bbox', bbox)):
        outputs.update({f'{name}{i}': x for i, x in enumerate(levels)})
    return outputs


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value expected."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def worst_error(found: dict, expected: dict) -> float:
    """Largest relative error of several outputs."""
    assert found.keys() == expected.keys()
    return max(relative_error(found[k], expected[k]) for k in expected)
