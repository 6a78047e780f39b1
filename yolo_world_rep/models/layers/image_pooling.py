"""Image-pooling attention: texts that look at the image (v1's dual neck)."""
from typing import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register


@register(MODELS)
class ImagePoolingAttentionModule(BaseModule):
    """Cross attention from texts to max-pooled image features.

    ``t' = t + γ·proj(softmax(q kᵀ/√d) v)`` with q from the texts, k and v
    from pool_size² patches a level (arXiv:2401.17270, section 3.3, eq. 3).

    Args:
        image_channels (Sequence[int]): Channels of each level.
        text_channels (int): Width D of a text embedding.
        embed_channels (int): Width of queries, keys and values.
        with_scale (bool): Whether γ is learnt, starting at 0; it is 1
            otherwise. Defaults to False.
        num_feats (int): Number of levels. Defaults to 3.
        num_heads (int): Defaults to 8.
        pool_size (int): Patches a side. Defaults to 3.
        init_cfg (dict, optional): Initialization. Defaults to None.
        use_einsum (bool): Accepted and without effect.

    Raises:
        ValueError: If ``num_feats`` is not the number of levels, or
            ``num_heads`` does not divide ``embed_channels``.
    """

    def __init__(self,
                 image_channels: Sequence[int],
                 text_channels: int,
                 embed_channels: int,
                 with_scale: bool = False,
                 num_feats: int = 3,
                 num_heads: int = 8,
                 pool_size: int = 3,
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
        self.pool_size = pool_size
        self.scale = nn.Parameter(torch.zeros(1)) if with_scale else None
        self.projections = nn.ModuleList(
            ConvModule(channels, embed_channels, 1, act_cfg=None)
            for channels in image_channels)

        def projection(channels: int) -> nn.Sequential:
            return nn.Sequential(
                nn.LayerNorm(channels), nn.Linear(channels, embed_channels))

        self.query = projection(text_channels)
        self.key = projection(embed_channels)
        self.value = projection(embed_channels)
        self.proj = nn.Linear(embed_channels, text_channels)

    def forward(self, text_features: Tensor,
                image_features: Sequence[Tensor]) -> Tensor:
        """Update the texts of each image by what is in the image.

        Args:
            text_features (Tensor): (B, N, D).
            image_features (Sequence[Tensor]): One (B, C_i, H_i, W_i) a
                level.

        Returns:
            Tensor: (B, N, D).
        """
        patches = torch.cat([
            F.adaptive_max_pool2d(project(level), self.pool_size).flatten(2)
            for project, level in zip(self.projections, image_features)
        ], -1).transpose(1, 2)

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        query = heads(self.query(text_features))
        key = heads(self.key(patches))
        value = heads(self.value(patches))
        weights = torch.matmul(query, key.transpose(-1, -2))
        weights = (weights / query.shape[-1]**0.5).softmax(-1)
        update = torch.matmul(weights, value).transpose(1, 2).flatten(2)
        update = self.proj(update)
        if self.scale is not None:
            update = update * self.scale
        return text_features + update
