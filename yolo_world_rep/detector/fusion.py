"""Folding of all that is constant once training is over."""
import copy
import logging
from dataclasses import dataclass
from typing import Iterable, List, Optional

import torch
from mmcv.cnn import ConvModule, fuse_conv_bn
from mmengine.logging import print_log
from mmyolo.models.layers import CSPLayerWithTwoConv
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.models.dense_heads import (
    RepBNContrastiveHead,
    RepYOLOWorldHeadModule,
)
from yolo_world_rep.models.detectors import SimpleYOLOWorldDetector
from yolo_world_rep.models.fused_layers import DeployCSPLayer

CLASS_BRANCH = 'bbox_head.head_module.cls_preds.{}'


@dataclass(frozen=True)
class Decision:
    """The decision on a layer, and its reason.

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


def require_foldable(model: nn.Module) -> None:
    """Refuse, with the reason, what has no deploy form."""
    kind = type(model).__name__
    if getattr(model, 'is_deploy_form', False):
        raise ValueError(
            f'This {kind} is fused already; fuse the trained model instead.')
    if getattr(model, 'text_conditioned', False):
        raise ValueError(
            f'This {kind} is text-conditioned, and its texts are inputs; '
            f'expected a folded model. Convert its checkpoint with '
            f'yolo-world-rep reparameterize first.')
    if not isinstance(model, SimpleYOLOWorldDetector):
        raise ValueError(
            f'fuse got a {kind}; expected a SimpleYOLOWorldDetector with '
            f'reparameterized=True. Give the detector itself, without a '
            f'wrapper around it.')
    if model.neck_takes_text:
        raise ValueError(
            'The head of this model is folded, its neck is text-conditioned; '
            'expected both folded. Convert the checkpoint as a whole: '
            'yolo-world-rep reparameterize.')
    module = model.bbox_head.head_module
    if not isinstance(module, RepYOLOWorldHeadModule):
        raise ValueError(f'fuse got a head with a {type(module).__name__}; '
                         f'expected a RepYOLOWorldHeadModule.')
    for name, child in model.named_modules():
        normalized = isinstance(child, RepBNContrastiveHead) or (
            isinstance(child, ConvModule) and child.with_norm)
        # In evaluation a fixed affine map of its input.
        if normalized and not (isinstance(child.norm, _BatchNorm)
                               and child.norm.affine
                               and child.norm.track_running_stats):
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
    costs = {name: block.fusion_costs()
             for name, block in model.neck.named_modules(prefix='neck')
             if hasattr(block, 'fusion_costs')}
    for level, branch in enumerate(head.cls_preds):
        costs[CLASS_BRANCH.format(level)] = (
            head.cls_contrasts[level].fusion_costs(branch[-1]))
    # The fewer FLOPs; apart where they tie.
    return [Decision(layer, 2 * apart, None if merged is None else 2 * merged,
                     merged is not None and merged < apart, what)
            for layer, (apart, merged, what) in costs.items()]


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


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition('.')
    setattr(model.get_submodule(parent), child, layer)


@torch.no_grad()
def fuse(model: nn.Module, inplace: bool = False,
         level: int = logging.INFO) -> nn.Module:
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
        level (int): Of the log record that says what was decided.

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
    head = model.bbox_head.head_module
    for level, branch in enumerate(head.cls_preds):
        head.cls_contrasts[level] = head.cls_contrasts[level].fuse(
            branch, merge[CLASS_BRANCH.format(level)])
    for name, layer in list(model.neck.named_modules(prefix='neck')):
        if hasattr(layer, 'fuse'):
            _replace(model, name, layer.fuse(merge.get(name, False)))
    for name, layer in list(model.named_modules()):
        if isinstance(layer, CSPLayerWithTwoConv):  # mmyolo's, and ours
            _replace(model, name, DeployCSPLayer(layer))
    left = [name for name, module in model.named_modules()
            if isinstance(module, _BatchNorm)]
    assert not left, f'batch norms left over: {left}'
    model.is_deploy_form = True
    print_log(f'Fused for deployment:\n{explain(decisions)}', 'current',
              level)
    return model.requires_grad_(False)
