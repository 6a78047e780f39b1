"""Image-pooling attention: texts that look at the image (v1's dual neck)."""
from typing import Sequence

import torch
import torch.nn as nn
from mmcv.cnn import ConvModule
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register

from ..fused_layers import GridMaxPool


def projection(in_channels: int, out_channels: int) -> nn.Sequential:
    """A linear layer behind a layer norm."""
    return nn.Sequential(
        nn.LayerNorm(in_channels), nn.Linear(in_channels, out_channels))


class _ImagePoolingAttention(BaseModule):
    """What the two forms share: everything but the queries.

    ``t' = t + γ·proj(softmax(q kᵀ/√d) v)`` with q from the texts, k and v
    from pool_size² patches a level (arXiv:2401.17270, section 3.3, eq. 3).

    Args:
        image_channels (Sequence[int]): Channels of each level.
        text_channels (int): Width D of a text embedding.
        embed_channels (int): Width of queries, keys and values.
        with_scale (bool): Whether γ is learned, starting at 0; it is 1
            otherwise. Defaults to False.
        num_feats (int): Number of levels. Defaults to 3.
        num_heads (int): Heads of the attention. Defaults to 8.
        pool_size (int): Patches per side. Defaults to 3.
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): Accepted and without effect.

    Raises:
        ValueError: If ``num_feats`` is not the number of levels, or
            ``num_heads`` does not divide ``embed_channels``.
    """

    def __init__(self, image_channels: Sequence[int], text_channels: int,
                 embed_channels: int, with_scale: bool = False,
                 num_feats: int = 3, num_heads: int = 8, pool_size: int = 3,
                 init_cfg: OptMultiConfig = None,
                 use_einsum: bool = True) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_feats != len(image_channels):
            raise ValueError(
                f'ImagePoolingAttentionModule: num_feats={num_feats}, but '
                f'image_channels has {len(image_channels)} levels '
                f'({list(image_channels)}).')
        if embed_channels % num_heads:
            raise ValueError(
                f'ImagePoolingAttentionModule: embed_channels='
                f'{embed_channels} must be a multiple of num_heads='
                f'{num_heads}; change one of them.')
        self.num_heads = num_heads
        self.pool = nn.AdaptiveMaxPool2d(pool_size)
        self.scale = nn.Parameter(torch.zeros(1)) if with_scale else None
        self.projections = nn.ModuleList(
            ConvModule(channels, embed_channels, 1, act_cfg=None)
            for channels in image_channels)

        self._build_query(text_channels, embed_channels)
        self.key = projection(embed_channels, embed_channels)
        self.value = projection(embed_channels, embed_channels)
        self.proj = nn.Linear(embed_channels, text_channels)

    def _build_query(self, text_channels: int, embed_channels: int) -> None:
        """Make the parameters that the queries come from."""
        raise NotImplementedError

    def queries(self, text: Tensor) -> Tensor:
        """The queries of texts, (…, N, E)."""
        raise NotImplementedError

    def forward(self, text_features: Tensor,
                image_features: Sequence[Tensor]) -> Tensor:
        """Update the texts of each image by what is in the image.

        Texts are (B, N, D), or (N, D) for all images, and image features
        (B, C_i, H_i, W_i) on each level; the result is (B, N, D).
        """
        patches = torch.cat([
            self.pool(project(level)).flatten(2)
            for project, level in zip(self.projections, image_features)
        ], -1).transpose(1, 2)

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

        query = heads(self.queries(text_features))
        key = heads(self.key(patches))
        value = heads(self.value(patches))
        weights = torch.matmul(query, key.transpose(-1, -2))
        weights = (weights / query.shape[-1]**0.5).softmax(-1)
        update = self.proj(
            torch.matmul(weights, value).transpose(1, 2).flatten(2))
        if self.scale is not None:
            update = update * self.scale
        return text_features + update


@register(MODELS)
class ImagePoolingAttentionModule(_ImagePoolingAttention):
    """Text-conditioned: the queries are a projection of the texts.

    The arguments are those of the shared body.
    """

    def _build_query(self, text_channels: int, embed_channels: int) -> None:
        self.query = projection(text_channels, embed_channels)

    def queries(self, text: Tensor) -> Tensor:
        return self.query(text)


@register(MODELS)
class RepImagePoolingAttentionModule(_ImagePoolingAttention):
    """Folded: the queries of constant texts are a parameter, (N, E).

    Args:
        num_guide (int): Number of texts N.
        **kwargs: As the shared body's.
    """

    def __init__(self, *args, num_guide: int, **kwargs) -> None:
        # Set before the parent's constructor, which builds the queries.
        self.num_guide = num_guide
        super().__init__(*args, **kwargs)

    def _build_query(self, text_channels: int, embed_channels: int) -> None:
        self.query_weight = nn.Parameter(
            torch.randn(self.num_guide, embed_channels))

    def queries(self, text: Tensor) -> Tensor:
        return self.query_weight

    def fuse(self, merge: bool = False) -> nn.Module:
        """The form for deployment, with a pooling that every runtime has."""
        self.pool = GridMaxPool(self.pool.output_size)
        return self
