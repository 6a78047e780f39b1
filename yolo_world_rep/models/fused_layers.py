"""The deploy forms of folded layers, each made by ``fuse()``.

The convolutions are ordered so that runtimes need not shuffle: ONNX Runtime on
a CPU keeps features in blocks of 16 channels, and computes convolutions,
activations, sums of equal shapes and concatenations on them. For anything
else, such as a split, it restores the plain order first and the blocks
afterwards. OpenVINO does not mind.
"""
import copy
from typing import List, NamedTuple, Optional, Tuple

import torch
from mmcv.cnn import ConvModule
from mmyolo.models.layers import CSPLayerWithTwoConv
from torch import Tensor, nn

from yolo_world_rep.reparam.guide_max import guide_max

# Below it, torch's normalize takes this for the length of a feature.
SHORTEST = 1e-12


class Costs(NamedTuple):
    """Multiply-adds at one position of a feature map.

    ``apart`` of the factors one after the other, ``merged`` of their product
    (None for a single factor); ``what`` names the factors and their widths.
    """
    apart: int
    merged: Optional[int]
    what: str


def conv1x1(weight_NC: Tensor, bias_N: Optional[Tensor],
            like: Tensor) -> nn.Conv2d:
    """A 1×1 convolution of given weights, of the type of ``like``."""
    num, channels = weight_NC.shape
    conv = nn.Conv2d(channels, num, 1, bias=bias_N is not None, device='meta')
    conv.weight = nn.Parameter(weight_NC[:, :, None, None].to(like))
    if bias_N is not None:
        conv.bias = nn.Parameter(bias_N.to(like))
    return conv


def linear_of(conv: nn.Conv2d) -> Tuple[Tensor, Tensor]:
    """Weight (N, C) and bias (N, ) of a 1×1 convolution, in float64."""
    return conv.weight.double().flatten(1), conv.bias.double()


class GuideProduct(nn.Module):
    """(B, C, H, W) -> (B, M, H, W): max_n ⟨e_m, g_mn⟩ + β_m by a product.

    ``embed`` is an identity where the input has none; the guides have 1/√d
    in them.
    """

    def __init__(self, embed: nn.Module, guide_MNd: Tensor,
                 bias_M: Tensor) -> None:
        super().__init__()
        self.embed = embed
        self.weight = nn.Parameter(guide_MNd)
        self.bias = nn.Parameter(bias_M[:, None])

    def forward(self, x: Tensor) -> Tensor:
        num_heads, _, width = self.weight.shape
        heads = self.embed(x).flatten(2).unflatten(1, (num_heads, width))
        peak = guide_max(heads, self.weight) + self.bias
        return peak.unflatten(2, x.shape[2:])


class GuideConv(nn.Module):
    """The same with the embedding in the guides: a C→M·N convolution."""

    def __init__(self, conv: nn.Conv2d, num_heads: int) -> None:
        super().__init__()
        self.conv = conv
        self.num_heads = num_heads

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).unflatten(1, (self.num_heads, -1)).amax(2)


class DeployAttn(nn.Module):
    """Max-sigmoid attention whose constants are all in its weights.

    Each gate goes to its head's channels by the 1×1 convolution ``spread``,
    M→C', of γ or 1 for the channels of a head and 0 for others. That leaves
    a product of equal shapes: a runtime need not reshape the features.
    """

    def __init__(self, peak: nn.Module, project: nn.Module,
                 spread: nn.Conv2d) -> None:
        super().__init__()
        self.peak = peak
        self.project = project
        self.spread = spread

    def forward(self, x: Tensor, guide: Optional[Tensor] = None) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W); ``guide`` is not used."""
        return self.project(x) * self.spread(self.peak(x).sigmoid())


class DeployL2Head(nn.Module):
    """The L2 head behind a class branch that no longer has D channels.

    ``W x / ‖R [x; 1]‖ + b``, see
    :func:`yolo_world_rep.reparam.folding.length_factor`. ``conv``, C→N, is the
    class branch's last convolution and the texts, without b; ``length``,
    C→C + 1, is R.
    """

    def __init__(self, conv: nn.Conv2d, length: nn.Conv2d,
                 bias: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.length = length
        self.bias = nn.Parameter(bias.reshape(-1, 1, 1))

    def forward(self, x: Tensor, w: Optional[Tensor] = None) -> Tensor:
        """(B, C, H, W) -> logits (B, N, H, W); ``w`` is not used."""
        length = self.length(x).norm(dim=1, keepdim=True)
        return self.conv(x) / length.clamp_min(SHORTEST) + self.bias


class GridMaxPool(nn.Module):
    """torch's AdaptiveMaxPool2d to size² patches, by slices alone."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        for axis in (2, 3):
            length, size = x.shape[axis], self.size
            patches: List[Tensor] = []
            for i in range(size):
                first = i * length // size
                # Rounded up: neighbours may share a row.
                end = ((i + 1) * length + size - 1) // size
                patch = x.narrow(axis, first, end - first)
                patches.append(patch.amax(axis, keepdim=True))
            x = torch.cat(patches, axis)
        return x


class DeployCSPLayer(nn.Module):
    """A CSP layer with two first convolutions in place of one and a split."""

    def __init__(self, layer: CSPLayerWithTwoConv) -> None:
        super().__init__()
        middle = layer.mid_channels
        self.skip_conv = _some_outputs(layer.main_conv, slice(middle))
        self.main_conv = _some_outputs(layer.main_conv, slice(middle, None))
        self.blocks = layer.blocks
        self.attn_block = getattr(layer, 'attn_block', None)
        self.final_conv = layer.final_conv

    def forward(self, x: Tensor, guide: Optional[Tensor] = None) -> Tensor:
        branches = [self.skip_conv(x), self.main_conv(x)]
        for block in self.blocks:
            branches.append(block(branches[-1]))
        if self.attn_block is not None:
            branches.append(self.attn_block(branches[-1], guide))
        return self.final_conv(torch.cat(branches, 1))


def _some_outputs(module: ConvModule, outputs: slice) -> ConvModule:
    """A copy of an ungrouped convolution with some of its outputs."""
    module = copy.deepcopy(module)
    conv = module.conv
    conv.weight = nn.Parameter(conv.weight[outputs].clone())
    conv.bias = nn.Parameter(conv.bias[outputs].clone())
    conv.out_channels = module.out_channels = len(conv.weight)
    return module
