"""mmyolo's task-aligned assigner with box indices and sparse targets."""
from typing import Any, Tuple

import torch
from mmyolo.models.task_modules.assigners import BatchTaskAlignedAssigner
from mmyolo.registry import TASK_UTILS
from torch import Tensor

from yolo_world_rep.registry import register


@register(TASK_UTILS)
class YOLOWorldSegAssigner(BatchTaskAlignedAssigner):
    """mmyolo's assigner, which also returns each anchor's box index.

    Public segmentation configs name it. The result has ``assigned_gt_idxs``
    (B, A) besides mmyolo's. The arguments are mmyolo's.
    """

    def forward(self, pred_bboxes: Tensor, *args, **kwargs) -> dict:
        # mmyolo's forward keeps them to itself; get_targets sees them.
        self._gt_idxs = pred_bboxes.new_zeros(
            pred_bboxes.shape[:2], dtype=torch.long)
        assigned = super().forward(pred_bboxes, *args, **kwargs)
        assigned['assigned_gt_idxs'] = self._gt_idxs
        del self._gt_idxs
        return assigned

    def get_targets(self, gt_labels: Tensor, gt_bboxes: Tensor,
                    assigned_gt_idxs: Tensor, *args: Any
                    ) -> Tuple[Tensor, Tensor, Tensor]:
        self._gt_idxs = assigned_gt_idxs
        return super().get_targets(gt_labels, gt_bboxes, assigned_gt_idxs,
                                   *args)


@register(TASK_UTILS)
class SparseTaskAlignedAssigner(YOLOWorldSegAssigner):
    """mmyolo's assigner, with one class and score per anchor as the target.

    In place of the scores of all classes it takes those of the boxes'
    classes, (B, A, G), with ``[b, :, g]`` for the class of box g. Its
    ``assigned_scores`` are (B, A, 1), of the class in ``assigned_labels``,
    and ``assigned_gt_idxs`` (B, A) are the boxes' indices.
    The arguments are mmyolo's.
    """

    def get_box_metrics(self, pred_bboxes: Tensor, pred_scores: Tensor,
                        gt_labels: Tensor, gt_bboxes: Tensor, batch_size: int,
                        num_gt: int) -> Tuple[Tensor, Tensor]:
        """Alignment and overlap of boxes and anchors, (B, G, A)."""
        columns = torch.arange(num_gt, device=gt_labels.device).expand(
            batch_size, num_gt)[..., None]
        return super().get_box_metrics(pred_bboxes, pred_scores, columns,
                                       gt_bboxes, batch_size, num_gt)

    def get_pos_mask(self, pred_bboxes: Tensor, pred_scores: Tensor,
                     priors: Tensor, gt_labels: Tensor, gt_bboxes: Tensor,
                     pad_bbox_flag: Tensor, batch_size: int,
                     num_gt: int) -> Tuple[Tensor, Tensor, Tensor]:
        """Candidates, alignment and overlap, (B, G, A) each."""
        metrics, overlaps = self.get_box_metrics(pred_bboxes, pred_scores,
                                                 gt_labels, gt_bboxes,
                                                 batch_size, num_gt)
        inside = _is_inside(priors, gt_bboxes).to(gt_bboxes.dtype)
        candidates = (metrics * inside).topk(self.topk)[1]
        candidates = torch.where(pad_bbox_flag.bool(), candidates, 0)
        # mmyolo's one-hot of each candidate is topk times as large.
        count = torch.zeros_like(metrics).scatter_add_(
            -1, candidates, torch.ones_like(candidates, dtype=metrics.dtype))
        # All candidates of a padding are the first anchor: it gets none.
        best = (count == 1).to(count.dtype)
        return best * inside * pad_bbox_flag, metrics, overlaps

    def get_targets(self, gt_labels: Tensor, gt_bboxes: Tensor,
                    assigned_gt_idxs: Tensor, fg_mask_pre_prior: Tensor,
                    batch_size: int,
                    num_gt: int) -> Tuple[Tensor, Tensor, Tensor]:
        """Class (B, A), box (B, A, 4) and score (B, A, 1) of each anchor."""
        self._gt_idxs = assigned_gt_idxs
        labels = gt_labels[..., 0].long().clamp(min=0)
        boxes = gt_bboxes.gather(
            1, assigned_gt_idxs[..., None].expand(-1, -1, 4))
        scores = (fg_mask_pre_prior > 0)[..., None].to(gt_bboxes.dtype)
        return labels.gather(1, assigned_gt_idxs), boxes, scores


def _is_inside(points_A2: Tensor, boxes_BG4: Tensor) -> Tensor:
    """Whether points are inside boxes by more than 1e-9, (B, G, A)."""
    x_A, y_A = points_A2.unbind(-1)
    left, top, right, bottom = boxes_BG4[..., None].unbind(-2)
    eps = 1e-9
    return ((x_A - left > eps) & (y_A - top > eps) & (right - x_A > eps) &
            (bottom - y_A > eps))
