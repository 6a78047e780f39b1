"""CSP layers of the neck: one body, and a choice of attention."""
from typing import Type

import torch
from mmcv.cnn import ConvModule
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmyolo.models.layers import CSPLayerWithTwoConv
from mmyolo.registry import MODELS
from torch import Tensor, nn

from yolo_world_rep.registry import register

from ..utils import NORM_CFG
from . import max_sigmoid


class _GuidedCSPLayer(CSPLayerWithTwoConv):
    """YOLOv8's CSP layer with an attended branch after the last block.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        guide_channels (int): Width of a text embedding, or number of guides
            when folded.
        embed_channels (int): Of the attention.
        num_heads (int): Of the attention. Defaults to 1.
        expand_ratio (float): Ratio of the hidden width to ``out_channels``.
            Defaults to 0.5.
        num_blocks (int): Number of bottlenecks. Defaults to 1.
        with_scale (bool): Of the attention. Defaults to False.
        add_identity (bool): Whether bottlenecks have a shortcut.
            Defaults to True.
        conv_cfg (dict, optional): Convolution layers. Defaults to None.
        norm_cfg (dict): Normalization layers.
            Defaults to dict(type='BN', momentum=0.03, eps=0.001).
        act_cfg (dict): Activations.
            Defaults to dict(type='SiLU', inplace=True).
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): Accepted and without effect, see the attention.
    """

    attention: Type[nn.Module]

    def __init__(self, in_channels: int, out_channels: int,
                 guide_channels: int, embed_channels: int, num_heads: int = 1,
                 expand_ratio: float = 0.5, num_blocks: int = 1,
                 with_scale: bool = False, add_identity: bool = True,
                 conv_cfg: OptConfigType = None,
                 norm_cfg: ConfigType = NORM_CFG,
                 act_cfg: ConfigType = dict(type='SiLU', inplace=True),
                 init_cfg: OptMultiConfig = None,
                 use_einsum: bool = True) -> None:
        layers = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg)
        super().__init__(
            in_channels, out_channels, expand_ratio=expand_ratio,
            num_blocks=num_blocks, add_identity=add_identity, act_cfg=act_cfg,
            init_cfg=init_cfg, **layers)
        self.final_conv = ConvModule(
            (3 + num_blocks) * self.mid_channels, out_channels, 1,
            act_cfg=act_cfg, **layers)
        self.attn_block = self.attention(
            self.mid_channels, self.mid_channels,
            guide_channels=guide_channels, embed_channels=embed_channels,
            num_heads=num_heads, with_scale=with_scale, **layers)

    def forward(self, x: Tensor, guide: Tensor = None) -> Tensor:
        """(B, C, H, W) and maybe texts (B, N, D) -> (B, C', H, W)."""
        branches = list(self.main_conv(x).chunk(2, dim=1))
        for block in self.blocks:
            branches.append(block(branches[-1]))
        branches.append(self.attn_block(branches[-1], guide))
        return self.final_conv(torch.cat(branches, 1))


@register(MODELS)
class MaxSigmoidCSPLayerWithTwoConv(_GuidedCSPLayer):
    """CSP layer with text-conditioned attention (T-CSPLayer, eq. 2)."""

    attention = max_sigmoid.MaxSigmoidAttnBlock


@register(MODELS)
class RepConvMaxSigmoidCSPLayerWithTwoConv(_GuidedCSPLayer):
    """CSP layer with the guides folded into convolutions."""

    attention = max_sigmoid.RepConvMaxSigmoidAttnBlock


@register(MODELS)
class RepMaxSigmoidCSPLayerWithTwoConv(_GuidedCSPLayer):
    """CSP layer with the guides folded into one matrix."""

    attention = max_sigmoid.RepMatrixMaxSigmoidAttnBlock


@register(MODELS)
class EfficientCSPLayerWithTwoConv(_GuidedCSPLayer):
    """CSP layer whose attended branch has no gate, and so no guide.

    The layer of the efficient neck. It starts from the checkpoint of any of
    its siblings: only the tensors of the gate are left over.

    Args:
        with_act (bool): Whether the branch ends in x·σ(x), as in the original
            up to release 0.10.0. Later versions do without; their files have
            the same names and shapes. Defaults to False.
        **kwargs: As its siblings'; those of the gate are without effect.
    """

    attention = max_sigmoid.UngatedAttnBlock

    def __init__(self, *args, with_act: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.attn_block.with_act = with_act
