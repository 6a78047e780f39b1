"""Contrastive heads: two image normalizations, with texts given or folded.

=========  =====================  =======================
           text as an input       text folded into a conv
=========  =====================  =======================
BN (v2)    `BNContrastiveHead`    `RepBNContrastiveHead`
L2 (v1)    `ContrastiveHead`      `RepContrastiveHead`
=========  =====================  =======================
"""
import math
from typing import Callable

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer, fuse_conv_bn
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register
from yolo_world_rep.reparam import folding

from ..fused_layers import Costs, DeployL2Head, conv1x1, linear_of
from ..utils import NORM_CFG, require_text


class _TextContrast(BaseModule):
    """Logits against the texts of each image: exp(s)·⟨z, t/‖t‖⟩ + b."""

    normalize: Callable[[Tensor], Tensor]

    def _build_contrast(self, logit_scale: float) -> None:
        self.bias = nn.Parameter(torch.zeros([]))
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale))

    def forward(self, x: Tensor, w: Tensor = None) -> Tensor:
        """(B, D, H, W) and texts (B, N, D) -> logits (B, N, H, W)."""
        return folding.contrast(
            self.normalize(x), require_text(self, w), self.logit_scale,
            self.bias)

    def init_bias(self, value: float) -> None:
        """Set the bias that every class starts from."""
        self.bias.data.fill_(value)


class _FoldedContrast(BaseModule):
    """The same logits with texts, scale and bias in a 1×1 convolution."""

    normalize: Callable[[Tensor], Tensor]

    def _build_contrast(self, embed_dims: int, num_guide_embeds: int) -> None:
        self.conv = nn.Conv2d(embed_dims, num_guide_embeds, kernel_size=1)

    def forward(self, x: Tensor, w: Tensor = None) -> Tensor:
        """(B, D, H, W) -> logits (B, N, H, W); ``w`` is not used."""
        return self.conv(self.normalize(x))

    def init_bias(self, value: float) -> None:
        """Set the bias that every class starts from."""
        self.conv.bias.data.fill_(value)

    def fusion_costs(self, last: nn.Conv2d) -> Costs:
        """Of the class branch's last convolution and the texts."""
        channels, width = last.in_channels, last.out_channels
        num_texts = self.conv.out_channels
        return Costs(channels * width + width * num_texts,
                     channels * num_texts,
                     f'{channels}→{width} and {width}→{num_texts} texts')


class _BNFeature:
    """Image features z through a batch norm (v2): BN(z)."""

    def _build_norm(self, embed_dims: int, norm_cfg: ConfigType) -> None:
        self.norm = build_norm_layer(norm_cfg, embed_dims)[1]

    def normalize(self, x: Tensor) -> Tensor:
        return self.norm(x)


class _L2Feature:
    """Image features z at unit length (v1): z / ‖z‖ along the channels."""

    def normalize(self, x: Tensor) -> Tensor:
        return folding.normalize_feature(x)


@register(MODELS)
class ContrastiveHead(_L2Feature, _TextContrast):
    """L2-normalized features against texts (v1).

    Args:
        embed_dims (int): D, width of a text embedding.
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): Accepted and without effect.
    """

    def __init__(self, embed_dims: int, init_cfg: OptMultiConfig = None,
                 use_einsum: bool = True) -> None:
        super().__init__(init_cfg=init_cfg)
        self._build_contrast(math.log(1 / 0.07))


@register(MODELS)
class BNContrastiveHead(_BNFeature, _TextContrast):
    """Batch-normalized features against texts (v2).

    Args:
        embed_dims (int): D, width of a text embedding.
        norm_cfg (dict): The batch norm.
            Defaults to dict(type='BN', momentum=0.03, eps=0.001).
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): Accepted and without effect.
    """

    def __init__(self, embed_dims: int, norm_cfg: ConfigType = NORM_CFG,
                 init_cfg: OptMultiConfig = None,
                 use_einsum: bool = True) -> None:
        super().__init__(init_cfg=init_cfg)
        self._build_norm(embed_dims, norm_cfg)
        # Batch norm leaves z of length √D, so the scale starts low.
        self._build_contrast(-1.0)


@register(MODELS)
class RepContrastiveHead(_L2Feature, _FoldedContrast):
    """The L2 head with the texts folded.

    Args:
        embed_dims (int): D, width of a text embedding.
        num_guide_embeds (int): N, number of texts.
        init_cfg (dict, optional): Initialization. Defaults to None.
    """

    def __init__(self, embed_dims: int, num_guide_embeds: int,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self._build_contrast(embed_dims, num_guide_embeds)

    def fusion_costs(self, last: nn.Conv2d) -> Costs:
        costs = super().fusion_costs(last)
        length = last.in_channels * min(last.out_channels,
                                        last.in_channels + 1)
        return Costs(costs.apart, costs.merged + length,
                     f'{costs.what}, divided by the length')

    def fuse(self, branch: nn.Sequential, merge: bool) -> nn.Module:
        """The form for deployment, maybe with the branch's last layer."""
        if not merge:
            return self
        like = self.conv.bias
        first, texts = linear_of(branch[-1]), linear_of(self.conv)
        branch[-1] = nn.Identity()
        # b stays outside: it is not divided by the length.
        logits = folding.compose_linear(*first, texts[0],
                                        torch.zeros_like(texts[1]))
        return DeployL2Head(
            conv1x1(*logits, like),
            conv1x1(*folding.length_factor(*first), like), like)


@register(MODELS)
class RepBNContrastiveHead(_BNFeature, _FoldedContrast):
    """The batch-norm head with the texts folded.

    Args:
        embed_dims (int): D, width of a text embedding.
        num_guide_embeds (int): N, number of texts.
        norm_cfg (dict): The batch norm.
            Defaults to dict(type='BN', momentum=0.03, eps=0.001).
        init_cfg (dict, optional): Initialization. Defaults to None.
    """

    def __init__(self, embed_dims: int, num_guide_embeds: int,
                 norm_cfg: ConfigType = NORM_CFG,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self._build_norm(embed_dims, norm_cfg)
        self._build_contrast(embed_dims, num_guide_embeds)

    def fuse(self, branch: nn.Sequential, merge: bool) -> nn.Module:
        """The form for deployment, maybe with the branch's last layer."""
        branch[-1] = fuse_conv_bn(nn.Sequential(branch[-1], self.norm))[0]
        self.norm = nn.Identity()
        if merge:
            self.conv = conv1x1(
                *folding.compose_linear(*linear_of(branch[-1]),
                                        *linear_of(self.conv)),
                self.conv.bias)
            branch[-1] = nn.Identity()
        return self
