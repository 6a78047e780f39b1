"""Folding all that is constant once training is over."""
import copy
from dataclasses import dataclass
from typing import Iterable, List, Optional, Tuple

import torch
from mmcv.cnn import (
    ConvModule,
    DepthwiseSeparableConvModule,
    fuse_conv_bn,
)
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.models.dense_heads import (
    RepBNContrastiveHead,
    RepContrastiveHead,
    RepYOLOWorldHeadModule,
)
from yolo_world_rep.models.detectors import SimpleYOLOWorldDetector
from yolo_world_rep.models.layers import (
    RepConvMaxSigmoidAttnBlock,
    RepImagePoolingAttentionModule,
    RepMatrixMaxSigmoidAttnBlock,
)
from yolo_world_rep.reparam import folding

from .fused_forms import (
    DeployAttn,
    DeployL2Head,
    GridMaxPool,
    GuideConv,
    GuideProduct,
)
from .layout import without_splits

FOLDED_ATTENTION = (RepConvMaxSigmoidAttnBlock, RepMatrixMaxSigmoidAttnBlock)


@dataclass(frozen=True)
class Decision:
    """What becomes of a layer, and why.

    FLOPs are of one position of the layer's feature map, 2 for each
    multiply-add, of what the alternatives do not share.

    Args:
        layer (str): Its name in the model.
        apart (int): FLOPs of the factors, one after the other.
        merged (int, optional): FLOPs of their product; None where there is
            but one factor.
        merge (bool): Whether they are merged.
        what (str): The factors and their widths, in words.
    """
    layer: str
    apart: int
    merged: Optional[int]
    merge: bool
    what: str


def _decide(layer: str, apart: int, merged: int, what: str) -> Decision:
    """A decision from multiply-adds: the fewer, apart where they tie."""
    return Decision(layer, 2 * apart, 2 * merged, merged < apart, what)


def _attentions(model: nn.Module) -> List[Tuple[str, nn.Module]]:
    """The folded attention blocks, with their names."""
    return [(name, module) for name, module in model.named_modules()
            if isinstance(module, FOLDED_ATTENTION)]


def _plan_attention(name: str, block: nn.Module) -> Decision:
    """Whether the embedding goes into the guides."""
    num_heads, num_guides, width = block.guide().shape
    embed = num_heads * width
    product = embed * num_guides
    if block.embed_conv is None:
        return Decision(
            name, 2 * product, None, False,
            f'{num_guides} guides of {num_heads} heads, {width} wide')
    channels = block.embed_conv.in_channels
    return _decide(
        name, channels * embed + product, channels * num_heads * num_guides,
        f'embedding {channels}→{embed} and {num_guides} guides of '
        f'{num_heads} heads, {width} wide')


def _plan_class_branch(name: str, last: nn.Conv2d,
                       contrast: nn.Module) -> Decision:
    """Whether the class branch's last convolution meets the texts."""
    channels, width = last.in_channels, last.out_channels
    num_texts = contrast.conv.out_channels
    apart = channels * width + width * num_texts
    merged = channels * num_texts
    what = f'{channels}→{width} and {width}→{num_texts} texts'
    if isinstance(contrast, RepContrastiveHead):
        merged += channels * min(width, channels + 1)
        what += ', divided by the length'
    return _decide(name, apart, merged, what)


def _is_affine(norm: nn.Module) -> bool:
    """Whether a norm is a fixed affine map of its input when evaluated."""
    return (isinstance(norm, _BatchNorm) and norm.affine
            and norm.track_running_stats)


def require_foldable(model: nn.Module) -> None:
    """Refuse what has no deploy form.

    Raises:
        ValueError: If it is fused already, or not a reparameterized
            SimpleYOLOWorldDetector with neck and head folded, or has other
            norms than batch norms.
    """
    kind = type(model).__name__
    if getattr(model, 'is_deploy_form', False):
        raise ValueError(
            f'This {kind} is fused already; fuse the trained model instead.')
    if getattr(model, 'text_conditioned', False):
        raise ValueError(
            f'This {kind} is text-conditioned, and its texts are inputs; '
            f'expected a folded model. Convert its checkpoint with '
            f'yolo-world-rep reparameterize --conv-neck first.')
    if not isinstance(model, SimpleYOLOWorldDetector):
        raise ValueError(
            f'fuse got a {kind}; expected a SimpleYOLOWorldDetector with '
            f'reparameterized=True. Give the detector itself, without a '
            f'wrapper around it.')
    if model.neck_takes_text:
        raise ValueError(
            'The head of this model is folded, its neck is text-conditioned; '
            'expected both folded. Convert the checkpoint without '
            '--head-only, with --conv-neck.')
    module = model.bbox_head.head_module
    if not isinstance(module, RepYOLOWorldHeadModule):
        raise ValueError(
            f'fuse got a head with a {type(module).__name__}; expected a '
            f'RepYOLOWorldHeadModule.')
    for name, child in model.named_modules():
        normalized = isinstance(child, RepBNContrastiveHead) or (
            isinstance(child, ConvModule) and child.with_norm)
        if normalized and not _is_affine(child.norm):
            raise ValueError(
                f'{name} has {child.norm} behind its convolution; expected '
                f'a batch norm with weights and statistics, as any other '
                f'norm does not fold. Set norm_cfg=dict(type=\'BN\').')


def plan_fusion(model: nn.Module) -> List[Decision]:
    """What :func:`fuse` would do and why, without doing it.

    Args:
        model (nn.Module): A folded detector.

    Returns:
        list[Decision]: Attention layers of the neck, then levels of the
        head.

    Raises:
        ValueError: As :func:`fuse`.
    """
    require_foldable(model)
    head = model.bbox_head.head_module
    return [
        _plan_attention(name, block) for name, block in _attentions(model)
    ] + [
        _plan_class_branch(f'bbox_head.head_module.cls_preds.{level}',
                           branch[-1], contrast)
        for level, (branch, contrast) in enumerate(
            zip(head.cls_preds, head.cls_contrasts))
    ]


def explain(decisions: Iterable[Decision]) -> str:
    """Decisions as text, one line each."""
    lines = []
    for decision in decisions:
        if decision.merged is None:
            choice = f'nothing to merge, {decision.apart} FLOPs a position'
        else:
            choice = (f'{"merged" if decision.merge else "left apart"}, '
                      f'{decision.apart} FLOPs a position apart and '
                      f'{decision.merged} merged')
        lines.append(f'{decision.layer}: {decision.what}: {choice}')
    return '\n'.join(lines)


def _conv1x1(weight_NC: Tensor, bias_N: Optional[Tensor],
             like: Tensor) -> nn.Conv2d:
    """A 1×1 convolution of given weights, with another tensor's type."""
    num, channels = weight_NC.shape
    conv = nn.Conv2d(channels, num, 1, bias=bias_N is not None, device='meta')
    conv.weight = nn.Parameter(weight_NC[:, :, None, None].to(like))
    if bias_N is not None:
        conv.bias = nn.Parameter(bias_N.to(like))
    return conv


def _linear(conv: nn.Conv2d) -> Tuple[Tensor, Tensor]:
    """Weight (N, C) and bias (N, ) of a 1×1 convolution, in float64."""
    return conv.weight.double().flatten(1), conv.bias.double()


def _fuse_attention(block: nn.Module, merge: bool) -> DeployAttn:
    """The deploy form of an attention whose batch norms are folded."""
    like = block.bias
    guide = folding.fold_width(block.guide().double())
    num_heads = block.num_heads
    if merge:
        weight, bias = folding.fold_embed(guide, block.bias.double(),
                                          *_linear(block.embed_conv.conv))
        peak = GuideConv(_conv1x1(weight, bias, like), num_heads)
    else:
        peak = GuideProduct(block.embed_conv or nn.Identity(), guide.to(like),
                            block.bias)
    last = block.project_conv
    if isinstance(last, DepthwiseSeparableConvModule):
        last = last.pointwise_conv
    channels = last.out_channels
    spread = torch.eye(num_heads).repeat_interleave(channels // num_heads, 0)
    if block.scale is not None:
        spread = block.scale.flatten() * spread.to(like)
    return DeployAttn(peak, block.project_conv, _conv1x1(spread, None, like))


def _fuse_class_branch(branch: nn.Sequential, contrast: nn.Module,
                       merge: bool) -> nn.Module:
    """Change a level's class branch; returns what follows it."""
    if isinstance(contrast, RepBNContrastiveHead):
        branch[-1] = fuse_conv_bn(nn.Sequential(branch[-1],
                                                contrast.norm))[0]
        contrast.norm = nn.Identity()
    if not merge:
        return contrast
    last, like = branch[-1], contrast.conv.bias
    branch[-1] = nn.Identity()
    first, texts = _linear(last), _linear(contrast.conv)
    if isinstance(contrast, RepBNContrastiveHead):
        contrast.conv = _conv1x1(*folding.compose_linear(*first, *texts), like)
        return contrast
    # b stays outside: it is not divided by the length.
    logits = folding.compose_linear(*first, texts[0],
                                    torch.zeros_like(texts[1]))
    return DeployL2Head(
        _conv1x1(*logits, like),
        _conv1x1(*folding.length_factor(*first), like), contrast.conv.bias)


@torch.no_grad()
def fuse(model: nn.Module, inplace: bool = False) -> nn.Module:
    """The deploy form of a trained folded detector.

    It computes the same with less: every batch norm is in its convolution,
    constants are in the weights, and two linear layers in a row are one
    where that is cheaper (:func:`plan_fusion`; what was decided is logged).
    It predicts as before, and is for inference alone.

    Args:
        model (nn.Module): A SimpleYOLOWorldDetector with
            ``reparameterized=True``, of either form of the neck and either
            head.
        inplace (bool): Whether the model itself is changed rather than a
            copy. Defaults to False.

    Returns:
        nn.Module: The detector in evaluation mode, without gradients.

    Raises:
        ValueError: If the model is text-conditioned as a whole or in its
            neck, of another kind, fused already, or has other norms than
            batch norms. It is not changed then.
    """
    decisions = plan_fusion(model)
    merge = {decision.layer: decision.merge for decision in decisions}
    if not inplace:
        model = copy.deepcopy(model)
    model.eval().requires_grad_(False)
    fuse_conv_bn(model)
    for name, block in _attentions(model):
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child,
                _fuse_attention(block, merge[name]))
    head = model.bbox_head.head_module
    for level, branch in enumerate(head.cls_preds):
        head.cls_contrasts[level] = _fuse_class_branch(
            branch, head.cls_contrasts[level],
            merge[f'bbox_head.head_module.cls_preds.{level}'])
    without_splits(model)
    for module in model.modules():
        if isinstance(module, RepImagePoolingAttentionModule):
            module.pool = GridMaxPool(module.pool.output_size)
    left = [
        name for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    assert not left, f'batch norms left over: {left}'
    model.is_deploy_form = True
    print_log(f'Fused for deployment:\n{explain(decisions)}', 'current')
    return model.requires_grad_(False)
