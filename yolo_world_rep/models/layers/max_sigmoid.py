"""Max-sigmoid attention: one body with three sources of the guide, or none."""
from typing import Any, Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register
from yolo_world_rep.reparam import folding
from yolo_world_rep.reparam.neck_forms import in_form_of

from .. import fused_layers as fused
from ..fused_layers import conv1x1, linear_of
from ..utils import NORM_CFG, require_text

# Tensors of an attention block that only its gate has.
GATE = ('guide_fc', 'guide_convs', 'guide_weight', 'embed_conv', 'bias',
        'scale')


def _projection(in_channels: int, out_channels: int, kernel_size: int,
                padding: int, use_depthwise: bool, conv_cfg: OptConfigType,
                norm_cfg: ConfigType) -> nn.Module:
    """The convolution that the gate, where there is one, multiplies."""
    kind = DepthwiseSeparableConvModule if use_depthwise else ConvModule
    return kind(in_channels, out_channels, kernel_size, padding=padding,
                conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=None)


class _MaxSigmoidAttn(BaseModule):
    """What the three forms share: everything but the guide.

    ``y = project(x) · gate(embed(x), guide)``, head by head; see
    :func:`yolo_world_rep.reparam.folding.max_sigmoid_gate` for the gate.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output, a multiple of the heads.
        guide_channels (int): Width of a text embedding in the
            text-conditioned form, number of guides in the folded ones.
        embed_channels (int): E, a multiple of ``num_heads``. If the input has
            another width, a 1×1 convolution embeds it.
        kernel_size (int): Of the projection. Defaults to 3.
        padding (int): Of the projection. Defaults to 1.
        num_heads (int): M. Defaults to 1.
        use_depthwise (bool): Whether the projection is depthwise separable.
            Defaults to False.
        with_scale (bool): Whether each head has a learned factor γ.
            Defaults to False.
        conv_cfg (dict, optional): Convolution layers. Defaults to None.
        norm_cfg (dict): Normalization layers.
            Defaults to dict(type='BN', momentum=0.03, eps=0.001).
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): No effect: the product is always one batched matmul.
            Public configs set it.

    Raises:
        ValueError: If ``num_heads`` does not divide both widths.
    """

    def __init__(self, in_channels: int, out_channels: int,
                 guide_channels: int, embed_channels: int,
                 kernel_size: int = 3, padding: int = 1, num_heads: int = 1,
                 use_depthwise: bool = False, with_scale: bool = False,
                 conv_cfg: OptConfigType = None,
                 norm_cfg: ConfigType = NORM_CFG,
                 init_cfg: OptMultiConfig = None,
                 use_einsum: bool = True) -> None:
        super().__init__(init_cfg=init_cfg)
        for name, value in (('out_channels', out_channels),
                            ('embed_channels', embed_channels)):
            if value % num_heads:
                raise ValueError(
                    f'{type(self).__name__}: {name}={value} must be a '
                    f'multiple of num_heads={num_heads}; change one of them.')
        self.num_heads = num_heads
        self.embed_conv = None if embed_channels == in_channels else (
            ConvModule(in_channels, embed_channels, 1, conv_cfg=conv_cfg,
                       norm_cfg=norm_cfg, act_cfg=None))
        self.bias = nn.Parameter(torch.zeros(num_heads))
        self.scale = nn.Parameter(
            torch.ones(1, num_heads, 1, 1)) if with_scale else None
        self._build_guide(guide_channels, embed_channels)
        self.project_conv = _projection(in_channels, out_channels, kernel_size,
                                        padding, use_depthwise, conv_cfg,
                                        norm_cfg)

    def _build_guide(self, guide_channels: int, embed_channels: int) -> None:
        """Make the parameters that the guide comes from."""
        raise NotImplementedError

    def guide(self, text: Tensor = None) -> Tensor:
        """The guide, (M, N, d) or (B, M, N, d)."""
        raise NotImplementedError

    def forward(self, x: Tensor, guide: Tensor = None) -> Tensor:
        """Gate the projected features, (B, C, H, W) -> (B, C', H, W).

        ``guide`` is the texts, (B, N, D), of the text-conditioned form; the
        folded ones take none.
        """
        embed = x if self.embed_conv is None else self.embed_conv(x)
        gate = folding.max_sigmoid_gate(embed, self.guide(guide), self.bias,
                                        self.scale)
        return folding.apply_gate(self.project_conv(x), gate)


@register(MODELS)
class MaxSigmoidAttnBlock(_MaxSigmoidAttn):
    """Text-conditioned: the guides are projections of each image's texts.

    The arguments are those of the shared body; ``guide_channels`` is the
    width D of a text embedding.
    """

    def _build_guide(self, guide_channels: int, embed_channels: int) -> None:
        self.guide_fc = nn.Linear(guide_channels, embed_channels)

    def guide(self, text: Tensor = None) -> Tensor:
        text = require_text(self, text)
        return folding.project_guide(text, self.guide_fc.weight,
                                     self.guide_fc.bias, self.num_heads)


class _FoldedAttn(_MaxSigmoidAttn):
    """What the two folded forms share: loading, and the form deployed."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str,
                              *args: Any) -> None:
        """Whoever loads a file of the other form, torch calls this."""
        names = {prefix + name for name in self.state_dict()}
        guides, _ = in_form_of(state_dict, names)
        state_dict.clear()
        state_dict.update(guides)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fusion_costs(self) -> fused.Costs:
        """Of the embedding and the guides, and of both in one."""
        num_heads, num_guides, width = self.guide().shape
        embed = num_heads * width
        product = embed * num_guides
        guides = f'{num_guides} guides of {num_heads} heads, {width} wide'
        if self.embed_conv is None:
            return fused.Costs(product, None, guides)
        channels = self.embed_conv.in_channels
        return fused.Costs(channels * embed + product,
                           channels * num_heads * num_guides,
                           f'embedding {channels}→{embed} and {guides}')

    def fuse(self, merge: bool) -> fused.DeployAttn:
        """The form for deployment, after batch norms went into convolutions.

        ``merge`` puts the embedding into the guides.
        """
        like = self.bias
        guide = folding.fold_width(self.guide().double())
        if merge:
            weight, bias = folding.fold_embed(guide, self.bias.double(),
                                              *linear_of(self.embed_conv.conv))
            peak = fused.GuideConv(conv1x1(weight, bias, like), self.num_heads)
        else:
            peak = fused.GuideProduct(self.embed_conv or nn.Identity(),
                                      guide.to(like), self.bias)
        last = self.project_conv
        if isinstance(last, DepthwiseSeparableConvModule):
            last = last.pointwise_conv
        spread = torch.eye(self.num_heads).repeat_interleave(
            last.out_channels // self.num_heads, 0)
        if self.scale is not None:
            spread = self.scale.flatten() * spread.to(like)
        return fused.DeployAttn(peak, self.project_conv,
                                conv1x1(spread, None, like))


@register(MODELS)
class RepConvMaxSigmoidAttnBlock(_FoldedAttn):
    """Folded: the guides are the weights of one d→N convolution per head.

    The arguments are those of the shared body; ``guide_channels`` is the
    number of guides N.
    """

    def _build_guide(self, guide_channels: int, embed_channels: int) -> None:
        width = embed_channels // self.num_heads
        self.guide_convs = nn.ModuleList(
            nn.Conv2d(width, guide_channels, 1, bias=False)
            for _ in range(self.num_heads))

    def guide(self, text: Tensor = None) -> Tensor:
        return folding.guide_from_convs(
            [conv.weight for conv in self.guide_convs])


@register(MODELS)
class RepMatrixMaxSigmoidAttnBlock(_FoldedAttn):
    """Folded: the guides are one parameter, (M, N, d).

    The arguments are those of the shared body; ``guide_channels`` is the
    number of guides N.
    """

    def _build_guide(self, guide_channels: int, embed_channels: int) -> None:
        width = embed_channels // self.num_heads
        self.guide_weight = nn.Parameter(
            torch.empty(self.num_heads, guide_channels, width))
        nn.init.normal_(self.guide_weight, std=width**-0.5)

    def guide(self, text: Tensor = None) -> Tensor:
        return self.guide_weight


class UngatedAttnBlock(BaseModule):
    """The projection alone: ``y = project(x)``, for the efficient neck.

    The arguments are those of the other blocks, the gate's without effect.
    """

    #: Whether x·σ(x) follows, which the layer decides.
    with_act = False

    def __init__(self, in_channels: int, out_channels: int,
                 kernel_size: int = 3, padding: int = 1,
                 use_depthwise: bool = False, conv_cfg: OptConfigType = None,
                 norm_cfg: ConfigType = NORM_CFG,
                 init_cfg: OptMultiConfig = None, **gate: Any) -> None:
        super().__init__(init_cfg=init_cfg)
        self.project_conv = _projection(in_channels, out_channels, kernel_size,
                                        padding, use_depthwise, conv_cfg,
                                        norm_cfg)

    def forward(self, x: Tensor, guide: Optional[Tensor] = None) -> Tensor:
        x = self.project_conv(x)
        return F.silu(x) if self.with_act else x
