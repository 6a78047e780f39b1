"""The few modules of the deploy form that no model of ours has."""
from typing import List, Optional

import torch
from torch import Tensor, nn

from yolo_world_rep.reparam.guide_max import guide_max

# Below it, torch's normalize takes this for the length of a feature.
SHORTEST = 1e-12


class GuideProduct(nn.Module):
    """max_n ⟨e_m, g_mn⟩ + β_m by a batched product.

    Args:
        embed (nn.Module): Of the input; an identity where it has none.
        guide_MNd (Tensor): Guides with 1/√d in them.
        bias_M (Tensor): β.
    """

    def __init__(self, embed: nn.Module, guide_MNd: Tensor,
                 bias_M: Tensor) -> None:
        super().__init__()
        self.embed = embed
        self.weight = nn.Parameter(guide_MNd)
        self.bias = nn.Parameter(bias_M[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, M, H, W)."""
        num_heads, _, width = self.weight.shape
        heads = self.embed(x).flatten(2).unflatten(1, (num_heads, width))
        peak = guide_max(heads, self.weight) + self.bias
        return peak.unflatten(2, x.shape[2:])


class GuideConv(nn.Module):
    """The same with the embedding in the guides: a C→M·N convolution.

    Args:
        conv (nn.Conv2d): The convolution, head by head.
        num_heads (int): M.
    """

    def __init__(self, conv: nn.Conv2d, num_heads: int) -> None:
        super().__init__()
        self.conv = conv
        self.num_heads = num_heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, M, H, W)."""
        return self.conv(x).unflatten(1, (self.num_heads, -1)).amax(2)


class DeployAttn(nn.Module):
    """Max-sigmoid attention whose constants are all in its weights.

    Each gate goes to its head's channels by a 1×1 convolution, which leaves
    a product of equal shapes: a runtime need not reshape the features for
    it, see :mod:`yolo_world_rep.detector.layout`.

    Args:
        peak (nn.Module): (B, C, H, W) to the gates' logits, (B, M, H, W).
        project (nn.Module): The projection.
        spread (nn.Conv2d): M→C', γ or 1 for the channels of a head and 0 for
            others, without a bias.
    """

    def __init__(self, peak: nn.Module, project: nn.Module,
                 spread: nn.Conv2d) -> None:
        super().__init__()
        self.peak = peak
        self.project = project
        self.spread = spread

    def forward(self, x: Tensor, guide: Optional[Tensor] = None) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W); ``guide`` is of no use here."""
        return self.project(x) * self.spread(self.peak(x).sigmoid())


class DeployL2Head(nn.Module):
    """The L2 head behind a class branch that no longer has D channels.

    ``W x / ‖R [x; 1]‖ + b``, see
    :func:`yolo_world_rep.reparam.folding.length_factor`.

    Args:
        conv (nn.Conv2d): C→N: the class branch's last convolution and the
            texts, without b.
        length (nn.Conv2d): C→C + 1: R.
        bias (Tensor): b, (N, ).
    """

    def __init__(self, conv: nn.Conv2d, length: nn.Conv2d,
                 bias: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.length = length
        self.bias = nn.Parameter(bias.reshape(-1, 1, 1))

    def forward(self, x: Tensor, w: Optional[Tensor] = None) -> Tensor:
        """(B, C, H, W) -> logits (B, N, H, W); ``w`` is of no use here."""
        length = self.length(x).norm(dim=1, keepdim=True)
        return self.conv(x) / length.clamp_min(SHORTEST) + self.bias


class GridMaxPool(nn.Module):
    """torch's AdaptiveMaxPool2d by slices, which every runtime has.

    Args:
        size (int): Patches a side.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, size, size)."""
        for axis in (2, 3):
            length, size = x.shape[axis], self.size
            patches: List[Tensor] = []
            for i in range(size):
                first = i * length // size
                # Rounded up: neighbours may share a row.
                end = ((i + 1) * length + size - 1) // size
                patches.append(
                    x.narrow(axis, first, end - first).amax(
                        axis, keepdim=True))
            x = torch.cat(patches, axis)
        return x
