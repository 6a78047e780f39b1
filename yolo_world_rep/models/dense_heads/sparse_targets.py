"""YOLOv8's losses when there are many classes.

An assigned target is one class and one score an anchor. As a one-hot tensor
of all classes, as in mmyolo, it and what is computed with it are many times
the size of the logits. Here the logits are read in place, and only their
gradient is of their size.
"""
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss
from mmengine.config import ConfigDict
from mmengine.dist import get_dist_info
from mmyolo.models.task_modules.assigners import BatchTaskAlignedAssigner
from mmyolo.models.utils import gt_instances_preprocess
from mmyolo.registry import TASK_UTILS
from torch import Tensor
from torch.autograd.function import once_differentiable

from .task_aligned_assigners import (
    SparseTaskAlignedAssigner,
    YOLOWorldSegAssigner,
)

# Channels of an image whose softplus exists at a time.
PIECE = 128


class Positives(NamedTuple):
    """The P anchors that are assigned to a box.

    Image, anchor (counted through all levels) and number of the box in its
    image, (P, ) each, and that box in pixels, (P, 4).
    """
    image: Tensor
    anchor: Tensor
    truth: Tensor
    box: Tensor


def sparse_bce(logits_BNHW: Tensor, place: Sequence[Tensor],
               target_P: Tensor) -> Tensor:
    """Σ BCE(x, t) for targets that are zero except in a few places.

    It is Σ softplus(x) − Σ t·x, the second sum over the places: image, class,
    row and column, (P, ) each, none twice. A scalar in float32 at least.
    """
    return _SparseBCE.apply(logits_BNHW, target_P, *place)


def _upcast(x: Tensor) -> Tensor:
    """At least float32, as autocast has it for this loss."""
    return x if x.dtype == torch.float64 else x.float()


class _SparseBCE(torch.autograd.Function):
    """:func:`sparse_bce`; keeps the logits and nothing else of their size."""

    @staticmethod
    def forward(ctx: Any, logits_BNHW: Tensor, target_P: Tensor,
                *place: Tensor) -> Tensor:
        ctx.save_for_backward(logits_BNHW, target_P, *place)
        total = -(_upcast(logits_BNHW[place]) * target_P).sum()
        for image in logits_BNHW:
            for piece in image.split(PIECE):
                # From 40 on, softplus(x) is x in float64, too.
                total = total + F.softplus(_upcast(piece), threshold=40).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """(σ(x) − t)·grad, rounded to the logits' type at the end."""
        logits_BNHW, target_P = ctx.saved_tensors[:2]
        place = tuple(ctx.saved_tensors[2:])
        grad_BNHW = torch.empty_like(logits_BNHW)
        for image, out in zip(logits_BNHW, grad_BNHW):
            for piece, out_piece in zip(image.split(PIECE), out.split(PIECE)):
                out_piece.copy_(_upcast(piece).sigmoid() * grad)
        grad_BNHW[place] = ((_upcast(logits_BNHW[place]).sigmoid() - target_P)
                            * grad).to(grad_BNHW.dtype)
        return (grad_BNHW, None, *(None for _ in place))


class SparseTargetsMixin:
    """For a YOLOv8Head: its losses from sparse targets, where asked for.

    Values and gradients are those of mmyolo up to rounding.

    Args:
        sparse_targets (bool): Whether the losses avoid one-hot targets.
            Defaults to False.

    Raises:
        ValueError: With ``sparse_targets``, if the classification loss is
            not a plain binary cross entropy, or the assigner is not mmyolo's
            BatchTaskAlignedAssigner.
    """

    def __init__(self, sparse_targets: bool = False, **kwargs) -> None:
        # Set before the parent's constructor, which builds the assigner.
        self.sparse_targets = sparse_targets
        super().__init__(**kwargs)
        if sparse_targets:
            self._require_plain_loss()

    def _require_plain_loss(self) -> None:
        loss = self.loss_cls
        if not (isinstance(loss, CrossEntropyLoss) and loss.use_sigmoid
                and loss.class_weight is None and loss.ignore_index is None
                and loss.reduction in ('none', 'sum')):
            raise ValueError(
                f'{type(self).__name__}: sparse_targets=True goes with '
                f'loss_cls=dict(type=\'mmdet.CrossEntropyLoss\', '
                f'use_sigmoid=True, reduction=\'none\') and a loss_weight, '
                f'got {loss}. Set that, or sparse_targets=False.')

    def special_init(self) -> None:
        """As in mmyolo, with the sparse form of its assigner."""
        super().special_init()
        if not (self.sparse_targets and self.train_cfg):
            return
        if type(self.assigner) in (BatchTaskAlignedAssigner,
                                   YOLOWorldSegAssigner):
            cfg = ConfigDict(self.train_cfg.assigner)
            self.assigner = TASK_UTILS.build(
                ConfigDict({**cfg, 'type': SparseTaskAlignedAssigner}))
        elif not isinstance(self.assigner, SparseTaskAlignedAssigner):
            raise ValueError(
                f'{type(self).__name__}: sparse_targets=True goes with '
                f'train_cfg.assigner of type BatchTaskAlignedAssigner, got '
                f'{type(self.assigner).__name__}. Set that, or '
                f'sparse_targets=False.')

    def loss_by_feat(self, cls_scores: Sequence[Tensor],
                     bbox_preds: Sequence[Tensor],
                     bbox_dist_preds: Sequence[Tensor],
                     batch_gt_instances: Sequence,
                     batch_img_metas: Sequence[dict],
                     batch_gt_instances_ignore: Optional[list] = None) -> dict:
        inputs = (cls_scores, bbox_preds, bbox_dist_preds, batch_gt_instances,
                  batch_img_metas)
        if self.sparse_targets:
            return self.losses_and_positives(*inputs)[0]
        return super().loss_by_feat(*inputs, batch_gt_instances_ignore)

    def losses_and_positives(
            self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor],
            bbox_dist_preds: Sequence[Tensor], batch_gt_instances: Sequence,
            batch_img_metas: Sequence[dict]) -> Tuple[dict, Positives]:
        """The losses of :meth:`loss_by_feat`, and their anchors."""
        num_imgs = len(batch_img_metas)
        priors = self._training_priors(cls_scores)
        points, strides = priors[:, :2], priors[:, 2:3]
        truth = gt_instances_preprocess(batch_gt_instances, num_imgs)
        labels, boxes = truth[..., :1], truth[..., 1:]
        pred_boxes = self.bbox_coder.decode(
            points,
            torch.cat([x.flatten(2) for x in bbox_preds], -1).transpose(1, 2),
            strides[:, 0])
        assigned = self.assigner(pred_boxes.detach().to(boxes.dtype),
                                 _scores_of(cls_scores, labels[..., 0].long()),
                                 priors, labels, boxes,
                                 (boxes.sum(-1, keepdim=True) > 0).float())
        scores = assigned['assigned_scores'][..., 0]
        score_sum = scores.sum().clamp(min=1)
        # Image and anchor of the positives.
        positive = assigned['fg_mask_pre_prior'].bool()
        image, anchor = positive.nonzero(as_tuple=True)
        score = scores[image, anchor]

        label = assigned['assigned_labels'][image, anchor].long()
        loss_cls = self.loss_cls.loss_weight * _sparse_bce_of_levels(
            cls_scores, image, label, anchor, score) / score_sum
        positives = Positives(image, anchor,
                              assigned['assigned_gt_idxs'][image, anchor],
                              assigned['assigned_bboxes'][image, anchor])
        if len(image):
            stride = strides[anchor]
            target = positives.box / stride
            loss_bbox = self.loss_bbox(pred_boxes[image, anchor] / stride,
                                       target,
                                       weight=score[:, None]) / score_sum
            reg_max = self.head_module.reg_max
            distances = self.bbox_coder.encode(
                points[anchor] / stride, target, max_dis=reg_max - 1, eps=0.01)
            dists = torch.cat([x.reshape(num_imgs, -1, 4, reg_max)
                               for x in bbox_dist_preds], 1)
            loss_dfl = self.loss_dfl(
                dists[image, anchor].reshape(-1, reg_max), distances.flatten(),
                weight=score[:, None].expand(-1, 4).flatten(),
                avg_factor=score_sum)
        else:
            loss_bbox = loss_dfl = pred_boxes.sum() * 0
        factor = num_imgs * get_dist_info()[1]
        return dict(loss_cls=loss_cls * factor, loss_bbox=loss_bbox * factor,
                    loss_dfl=loss_dfl * factor), positives

    def _training_priors(self, cls_scores: Sequence[Tensor]) -> Tensor:
        """Points and strides of all anchors, (A, 4)."""
        sizes = [x.shape[2:] for x in cls_scores]
        if sizes != self.featmap_sizes_train:
            self.featmap_sizes_train = sizes
            levels = self.prior_generator.grid_priors(
                sizes, dtype=cls_scores[0].dtype, device=cls_scores[0].device,
                with_stride=True)
            self.num_level_priors = [len(level) for level in levels]
            self.flatten_priors_train = torch.cat(levels)
            self.stride_tensor = self.flatten_priors_train[:, 2:3]
        return self.flatten_priors_train


def _scores_of(cls_scores: Sequence[Tensor], labels_BG: Tensor) -> Tensor:
    """Scores of the classes of the boxes, (B, A, G); G is 1 at least."""
    if not labels_BG.shape[1]:
        labels_BG = labels_BG.new_zeros(len(labels_BG), 1)
    columns = labels_BG[..., None]
    levels: List[Tensor] = []
    for logits in cls_scores:
        flat = logits.detach().flatten(2)
        levels.append(flat.gather(1, columns.expand(-1, -1, flat.shape[-1])))
    return torch.cat(levels, -1).transpose(1, 2).sigmoid()


def _sparse_bce_of_levels(cls_scores: Sequence[Tensor], image_P: Tensor,
                          label_P: Tensor, anchor_P: Tensor,
                          target_P: Tensor) -> Tensor:
    """:func:`sparse_bce` where anchors count through all levels."""
    total, first = 0, 0
    for logits in cls_scores:
        height, width = logits.shape[2:]
        inside = (anchor_P >= first) & (anchor_P < first + height * width)
        position = anchor_P[inside] - first
        place = (image_P[inside], label_P[inside],
                 torch.div(position, width, rounding_mode='floor'),
                 position % width)
        total = total + sparse_bce(logits, place, target_P[inside])
        first += height * width
    return total
