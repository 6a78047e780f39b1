"""The same layers in an order that runtimes need not shuffle for.

ONNX Runtime on a CPU keeps features in blocks of 16 channels and computes
convolutions, activations, sums of equal shapes and concatenations on them so.
Whatever else it meets, such as a split, it puts in the plain order first, and
in blocks again behind. OpenVINO does not mind.
"""
import copy
from typing import Optional

import torch
from mmcv.cnn import ConvModule
from mmyolo.models.layers import CSPLayerWithTwoConv
from torch import Tensor, nn


class DeployCSPLayer(nn.Module):
    """A CSP layer whose first convolution is two in place of one to split.

    Args:
        layer (CSPLayerWithTwoConv): The layer, batch norms folded.
    """

    def __init__(self, layer: CSPLayerWithTwoConv) -> None:
        super().__init__()
        middle = layer.mid_channels
        self.skip_conv = _some_outputs(layer.main_conv, slice(middle))
        self.main_conv = _some_outputs(layer.main_conv, slice(middle, None))
        self.blocks = layer.blocks
        self.attn_block = getattr(layer, 'attn_block', None)
        self.final_conv = layer.final_conv

    def forward(self, x: Tensor, guide: Optional[Tensor] = None) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W); guides for attention with some."""
        branches = [self.skip_conv(x), self.main_conv(x)]
        for block in self.blocks:
            branches.append(block(branches[-1]))
        if self.attn_block is not None:
            branches.append(self.attn_block(branches[-1], guide))
        return self.final_conv(torch.cat(branches, 1))


def _some_outputs(module: ConvModule, outputs: slice) -> ConvModule:
    """A copy of a convolution without groups, with some of its outputs."""
    module = copy.deepcopy(module)
    conv = module.conv
    conv.weight = nn.Parameter(conv.weight[outputs].clone())
    conv.bias = nn.Parameter(conv.bias[outputs].clone())
    conv.out_channels = module.out_channels = len(conv.weight)
    return module


def without_splits(model: nn.Module) -> None:
    """Put a :class:`DeployCSPLayer` in the place of each CSP layer.

    Args:
        model (nn.Module): Changed; its batch norms are folded already.
    """
    for name, layer in list(model.named_modules()):
        if isinstance(layer, CSPLayerWithTwoConv):
            parent, _, child = name.rpartition('.')
            setattr(model.get_submodule(parent), child, DeployCSPLayer(layer))
