"""YOLOv8's path aggregation network with text in its CSP layers."""
import copy
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmyolo.models.necks import YOLOv8PAFPN
from mmyolo.models.utils import make_divisible, make_round
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register

from ..layers import MaxSigmoidAttnBlock
from ..utils import NORM_CFG, freeze, require_text


@register(MODELS)
class YOLOWorldPAFPN(YOLOv8PAFPN):
    """RepVL-PAN: YOLOv8's PAFPN whose CSP layers take a guide.

    Whether the guide is text or folded into weights is up to the block.

    Args:
        in_channels (List[int]): Channels of each level before widening.
        out_channels (List[int]): Channels of each output before widening.
        guide_channels (int): Width of a text embedding for
            text-conditioned blocks, number of guides for folded ones.
        embed_channels (List[int]): Embed channels of each level before
            widening.
        num_heads (List[int]): Heads of each level before widening.
        deepen_factor (float): Scales the depth. Defaults to 1.0.
        widen_factor (float): Scales the width. Defaults to 1.0.
        num_csp_blocks (int): Bottlenecks of a CSP layer before deepening.
            Defaults to 3.
        freeze_all (bool): Whether weights and statistics are frozen in
            training. Defaults to False.
        block_cfg (dict): The CSP layer.
            Defaults to dict(type='MaxSigmoidCSPLayerWithTwoConv').
        norm_cfg (dict): Normalization layers.
            Defaults to dict(type='BN', momentum=0.03, eps=0.001).
        act_cfg (dict): Activations.
            Defaults to dict(type='SiLU', inplace=True).
        init_cfg (dict, optional): Initialization. Defaults to None.

    Raises:
        ValueError: If the lists do not have one entry per level, or
            ``block_cfg`` has another ``guide_channels`` than the neck.
    """

    def __init__(self,
                 in_channels: List[int],
                 out_channels: List[int],
                 guide_channels: int,
                 embed_channels: List[int],
                 num_heads: List[int],
                 deepen_factor: float = 1.0,
                 widen_factor: float = 1.0,
                 num_csp_blocks: int = 3,
                 freeze_all: bool = False,
                 block_cfg: ConfigType = dict(
                     type='MaxSigmoidCSPLayerWithTwoConv'),
                 norm_cfg: ConfigType = NORM_CFG,
                 act_cfg: ConfigType = dict(type='SiLU', inplace=True),
                 init_cfg: OptMultiConfig = None) -> None:
        name = type(self).__name__
        for key, value in dict(out_channels=out_channels,
                               embed_channels=embed_channels,
                               num_heads=num_heads).items():
            if len(value) != len(in_channels):
                raise ValueError(
                    f'{name}: {key}={list(value)} must have one entry for '
                    f'each of the {len(in_channels)} levels of '
                    f'in_channels={list(in_channels)}.')
        own = block_cfg.get('guide_channels', guide_channels)
        if own != guide_channels:
            raise ValueError(
                f'{name}: guide_channels={guide_channels}, but block_cfg '
                f'has guide_channels={own}. Give both the same value (the '
                f'number of guides of a reparameterized checkpoint, the '
                f'text width of any other).')
        # Set before the parent's constructor, which builds the layers.
        self.guide_channels = guide_channels
        self.embed_channels = embed_channels
        self.num_heads = num_heads
        self.block_cfg = block_cfg
        super().__init__(
            in_channels=in_channels, out_channels=out_channels,
            deepen_factor=deepen_factor, widen_factor=widen_factor,
            num_csp_blocks=num_csp_blocks, freeze_all=freeze_all,
            norm_cfg=norm_cfg, act_cfg=act_cfg, init_cfg=init_cfg)
        # Before the optimizer and DDP look at the parameters, not only at
        # the first call of train().
        if freeze_all:
            freeze(self)

    @property
    def takes_text(self) -> bool:
        """Whether texts are an input."""
        return any(isinstance(module, MaxSigmoidAttnBlock)
                   for module in self.modules())

    def _build_block(self, in_channels: int, level: int,
                     block_cfg: ConfigType, guide_channels: int) -> nn.Module:
        """The CSP layer that outputs ``level``."""
        block_cfg = copy.deepcopy(block_cfg)
        block_cfg.update(
            in_channels=make_divisible(in_channels, self.widen_factor),
            out_channels=make_divisible(self.out_channels[level],
                                        self.widen_factor),
            guide_channels=guide_channels,
            embed_channels=make_divisible(self.embed_channels[level],
                                          self.widen_factor),
            num_heads=make_round(self.num_heads[level], self.widen_factor),
            num_blocks=make_round(self.num_csp_blocks, self.deepen_factor),
            add_identity=False,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg)
        return MODELS.build(block_cfg)

    def build_top_down_layer(self, idx: int) -> nn.Module:
        """The layer that merges level ``idx`` into ``idx - 1``."""
        return self._build_block(
            self.in_channels[idx - 1] + self.in_channels[idx], idx - 1,
            self.block_cfg, self.guide_channels)

    def build_bottom_up_layer(self, idx: int) -> nn.Module:
        """The layer that merges level ``idx`` into ``idx + 1``."""
        return self._build_block(
            self.out_channels[idx] + self.out_channels[idx + 1], idx + 1,
            self.block_cfg, self.guide_channels)

    def enhance_text(self, txt_feats: Optional[Tensor],
                     img_feats: Sequence[Tensor]) -> Optional[Tensor]:
        """The guide of the bottom-up half; here that of the top-down half."""
        return txt_feats

    def forward(self, img_feats: Sequence[Tensor],
                txt_feats: Tensor = None) -> Tuple[Tensor, ...]:
        """Fuse the levels, top down and then bottom up; finest first.

        ``img_feats`` are (B, C_i, H_i, W_i), ``txt_feats`` (B, N, D) as they
        came from the encoder, or None for folded blocks.
        """
        assert len(img_feats) == len(self.in_channels)
        inner = [img_feats[-1]]
        for low, upsample, block in zip(reversed(img_feats[:-1]),
                                        self.upsample_layers,
                                        self.top_down_layers):
            merged = torch.cat([upsample(inner[0]), low], 1)
            inner.insert(0, block(merged, txt_feats))
        txt_feats = self.enhance_text(txt_feats, inner)
        outs = [inner[0]]
        for high, downsample, block in zip(inner[1:], self.downsample_layers,
                                           self.bottom_up_layers):
            merged = torch.cat([downsample(outs[-1]), high], 1)
            outs.append(block(merged, txt_feats))
        return tuple(outs)


@register(MODELS)
class YOLOWorldDualPAFPN(YOLOWorldPAFPN):
    """The neck of v1: texts look at the image before the bottom-up half.

    Args:
        text_enhancder (dict): The attention that updates the texts; its
            ``image_channels``, ``text_channels`` and ``num_feats`` are filled
            in. Public configs spell it like this.
        text_enhancer (dict): The same in correct spelling; give only one of
            them.
        **kwargs: As :class:`YOLOWorldPAFPN`.
    """

    enhancer = 'ImagePoolingAttentionModule'

    def __init__(self, *args, text_enhancder: OptConfigType = None,
                 text_enhancer: OptConfigType = None, **kwargs) -> None:
        if text_enhancder is not None and text_enhancer is not None:
            raise ValueError(
                'YOLOWorldDualPAFPN: text_enhancder and text_enhancer are '
                'two spellings of one argument; give one of them.')
        super().__init__(*args, **kwargs)
        enhancer = copy.deepcopy(text_enhancder or text_enhancer or dict(
            embed_channels=256, num_heads=8))
        if enhancer.get('type', YOLOWorldDualPAFPN.enhancer) == (
                YOLOWorldDualPAFPN.enhancer):
            # A folded neck takes it in the same form.
            enhancer['type'] = self.enhancer
        enhancer.update(
            image_channels=[make_divisible(channels, self.widen_factor)
                            for channels in self.out_channels],
            num_feats=len(self.out_channels), **self._text_widths())
        self.text_enhancer = MODELS.build(enhancer)
        if self.freeze_all:
            freeze(self)

    def _text_widths(self) -> dict:
        """Arguments of the attention that follow from the texts."""
        return dict(text_channels=self.guide_channels)

    def enhance_text(self, txt_feats: Optional[Tensor],
                     img_feats: Sequence[Tensor]) -> Tensor:
        """Texts updated by the top-down half's features."""
        return self.text_enhancer(require_text(self, txt_feats), img_feats)


@register(MODELS)
class RepYOLOWorldDualPAFPN(YOLOWorldDualPAFPN):
    """The neck of v1; everything that does not depend on the image is folded.

    The top-down half takes its guides from its weights, and so does the
    attention its queries. The bottom-up half takes constant texts, a buffer,
    after that attention has updated them from the image.

    Args:
        text_channels (int): Width D of a text embedding.
        bottom_up_block_cfg (dict): The CSP layer of the bottom-up half.
            Defaults to dict(type='MaxSigmoidCSPLayerWithTwoConv').
        block_cfg (dict): The CSP layer of the top-down half.
            Defaults to dict(type='RepConvMaxSigmoidCSPLayerWithTwoConv').
        **kwargs: As :class:`YOLOWorldDualPAFPN`; ``guide_channels`` is the
            number of guides N.
    """

    enhancer = 'RepImagePoolingAttentionModule'
    # Its only texts are its own.
    takes_text = False

    def __init__(self,
                 *args,
                 text_channels: int,
                 bottom_up_block_cfg: ConfigType = dict(
                     type='MaxSigmoidCSPLayerWithTwoConv'),
                 block_cfg: ConfigType = dict(
                     type='RepConvMaxSigmoidCSPLayerWithTwoConv'),
                 **kwargs) -> None:
        # Set before the parent's constructor, which builds the layers.
        self.text_channels = text_channels
        self.bottom_up_block_cfg = bottom_up_block_cfg
        super().__init__(*args, block_cfg=block_cfg, **kwargs)
        self.register_buffer(
            'texts', torch.randn(self.guide_channels, text_channels))

    def _text_widths(self) -> dict:
        return dict(text_channels=self.text_channels,
                    num_guide=self.guide_channels)

    def build_bottom_up_layer(self, idx: int) -> nn.Module:
        return self._build_block(
            self.out_channels[idx] + self.out_channels[idx + 1], idx + 1,
            self.bottom_up_block_cfg, self.text_channels)

    def enhance_text(self, txt_feats: Optional[Tensor],
                     img_feats: Sequence[Tensor]) -> Tensor:
        """The neck's own texts, updated by the top-down half's features."""
        return self.text_enhancer(self.texts, img_feats)
