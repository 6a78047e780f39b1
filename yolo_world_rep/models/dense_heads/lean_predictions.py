"""YOLOv8's detections when there are many classes.

With 21,841 classes the scores of one image of 640×640 take 700 MiB, and
mmyolo makes several copies of them before it looks for those above the
threshold. Here logits are compared in place, a piece at a time, and only the
few that pass go on.

Shape suffixes: N classes, S positions of a level, P candidates.
"""
import math
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

# Logits compared at a time.
PIECE = 2**22
# Candidates an image keeps before all but the best nms_pre are dropped. Below
# it, equal scores come in the order that mmyolo gives them.
MANY = 2**22
# On a CPU, torch computes this many elements as vectors and a shorter rest one
# by one, which may round the last bit differently.
VECTOR = 64


def select_candidates(
        levels: Sequence[Tensor], score_thr: float, nms_pre: int,
        multi_label: bool = True) -> Tuple[Tensor, Tensor, Tensor]:
    """The best ``nms_pre`` scores of an image above a threshold.

    Args:
        levels (Sequence[Tensor]): Logits of each level, (N, H_i, W_i).
        score_thr (float): Scores, sigmoids of logits, are larger.
        nms_pre (int): How many there are at most.
        multi_label (bool): Whether an anchor may have several classes, or
            only its best one. Defaults to True.

    Returns:
        tuple[Tensor]: Scores, best first; their classes; their anchors,
        counted through all levels. (P, ) each.
    """
    found = _Candidates(score_thr, nms_pre)
    search = _several_labels if multi_label else _one_label
    first = 0
    for logits_NHW in levels:
        logits_SN = _rows_of_positions(logits_NHW)
        size = max(1, PIECE // logits_SN.shape[1])
        for start in range(0, len(logits_SN), size):
            scores, labels, rows = search(logits_SN[start:start + size],
                                          found.floor)
            found.add(scores, labels, rows + (first + start))
        first += len(logits_SN)
    return found.best()


class _Candidates:
    """Candidates in the order of their anchors and classes.

    Scores above ``floor`` count; the best ``limit`` are wanted in the end.
    """

    def __init__(self, floor: float, limit: int) -> None:
        self.floor = floor
        self.limit = limit
        self.parts: List[Tuple[Tensor, ...]] = []
        self.count = 0
        self.dropped = False

    def add(self, *part: Tensor) -> None:
        """Append scores, classes and anchors."""
        self.parts.append(part)
        self.count += len(part[0])
        if self.count > max(MANY, self.limit):
            self._drop()

    def _drop(self) -> None:
        """Keep the best alone; of equal ones, the first."""
        scores, labels, anchors = self._joined()
        order = scores.sort(descending=True, stable=True)[1][:self.limit]
        if len(order):
            self.floor = max(self.floor, float(scores[order[-1]]))
        order = order.sort()[0]
        self.parts = [(scores[order], labels[order], anchors[order])]
        self.count = len(order)
        self.dropped = True

    def _joined(self) -> Tuple[Tensor, ...]:
        return tuple(torch.cat(parts) for parts in zip(*self.parts))

    def best(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Scores, classes and anchors, best first."""
        scores, labels, anchors = self._joined()
        # If none was dropped, mmyolo's own call, so that ties come out alike;
        # otherwise the first of equal scores again.
        scores, order = scores.sort(descending=True, stable=self.dropped)
        order = order[:self.limit]
        return scores[:self.limit], labels[order], anchors[order]


def _rows_of_positions(logits_NHW: Tensor) -> Tensor:
    """(S, N), without a copy in either memory format."""
    logits_HWN = logits_NHW.permute(1, 2, 0)
    if logits_HWN.is_contiguous():
        return logits_HWN.flatten(0, 1)
    return logits_NHW.flatten(1).t()


def _several_labels(logits_SN: Tensor,
                    floor: float) -> Tuple[Tensor, Tensor, Tensor]:
    """Scores above the floor, their classes and their rows."""
    bound = _logit_below(floor, logits_SN.dtype)
    rows, labels = (logits_SN > bound).nonzero(as_tuple=True)
    scores = _sigmoid(logits_SN[rows, labels])
    keep = scores > floor
    return scores[keep], labels[keep], rows[keep]


def _one_label(logits_SN: Tensor,
               floor: float) -> Tuple[Tensor, Tensor, Tensor]:
    """The best score of each row that has one above the floor."""
    # Scores may be equal where logits are not, hence not the best logit.
    scores, labels = _sigmoid(logits_SN.contiguous()).max(1)
    rows, = (scores > floor).nonzero(as_tuple=True)
    return scores[rows], labels[rows], rows


def _logit_below(score: float, dtype: torch.dtype) -> float:
    """A bound that the logit of any score above ``score`` exceeds."""
    score *= 1 - 16 * torch.finfo(dtype).eps
    if not 0 < score < 1:
        return -math.inf if score <= 0 else math.inf
    logit = math.log(score) - math.log1p(-score)
    return logit - 16 * torch.finfo(dtype).eps * abs(logit)


def _sigmoid(x: Tensor) -> Tensor:
    """As torch computes it for elements amid a large tensor."""
    if x.device.type != 'cpu':
        return x.sigmoid()
    rest = -x.numel() % (VECTOR * torch.get_num_threads())
    padded = F.pad(x.flatten(), (0, rest))
    return padded.sigmoid_()[:x.numel()].reshape(x.shape)


def _require_finite(levels: Sequence[Tensor]) -> None:
    for logits in levels:
        total = logits.sum(dtype=torch.float32)  # one pass, without a copy
        if not total.isfinite() and not logits.isfinite().all():
            raise ValueError(
                'The model gives scores that are no finite numbers: its '
                'weights are damaged, or its training diverged.')


def with_lowest_score(cfg: ConfigDict) -> ConfigDict:
    """A ``test_cfg`` whose ``score_thr`` lets all of ``class_scores`` pass."""
    if not cfg.get('class_scores'):
        return cfg
    return ConfigDict({**cfg, 'score_thr': min(cfg['class_scores'])})


class ClassScoresMixin:
    """For a YOLOv8Head: a minimum score for each class.

    They are ``test_cfg.class_scores``, if they are there.
    """

    def predict_by_feat(self, *args, cfg: Optional[ConfigDict] = None,
                        **kwargs) -> List[InstanceData]:
        """As mmyolo's."""
        cfg = with_lowest_score(self.test_cfg if cfg is None else cfg)
        return super().predict_by_feat(*args, cfg=cfg, **kwargs)

    def _bbox_post_process(self, results: InstanceData, cfg: ConfigDict,
                           *args, **kwargs) -> InstanceData:
        if cfg.get('class_scores'):
            minimum = results.scores.new_tensor(cfg.class_scores)
            results = results[results.scores > minimum[results.labels]]
        return super()._bbox_post_process(results, cfg, *args, **kwargs)


def allow_class_scores(head: nn.Module) -> None:
    """Give mmyolo's head :class:`ClassScoresMixin`, this one object alone."""
    if not isinstance(head, ClassScoresMixin):
        kind = type(head)
        head.__class__ = type(kind.__name__, (ClassScoresMixin, kind), {})


class LeanPredictionsMixin(ClassScoresMixin):
    """For a YOLOv8Head: detections without copies of all scores.

    They are mmyolo's to the bit and in the same order, with two exceptions.
    On a CPU, torch may round the last few scores of mmyolo's tensor
    differently, see ``VECTOR``. And where more than ``MANY`` scores pass the
    threshold, of those equal to the last of the best ``nms_pre`` the first
    are kept; mmyolo leaves open which.

    Args:
        lean_predictions (bool): Whether detections are selected without
            copying all scores. Defaults to True.
    """

    def __init__(self, lean_predictions: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.lean_predictions = lean_predictions

    def predict_by_feat(self, cls_scores: List[Tensor],
                        bbox_preds: List[Tensor],
                        objectnesses: Optional[List[Tensor]] = None,
                        batch_img_metas: Optional[List[dict]] = None,
                        cfg: Optional[ConfigDict] = None, rescale: bool = True,
                        with_nms: bool = True) -> List[InstanceData]:
        """As mmyolo's; ValueError for logits that are not finite."""
        _require_finite(cls_scores)
        cfg = with_lowest_score(self.test_cfg if cfg is None else cfg)
        if not self.lean_predictions or objectnesses is not None:
            return super().predict_by_feat(
                cls_scores, bbox_preds, objectnesses, batch_img_metas,
                cfg=cfg, rescale=rescale, with_nms=with_nms)
        boxes_BA4 = self._decode(bbox_preds)
        results = []
        for image, meta in enumerate(batch_img_metas):
            scores, labels, anchors = select_candidates(
                [level[image] for level in cls_scores],
                cfg.get('score_thr', -1), cfg.get('nms_pre', 100000),
                cfg.multi_label and self.num_classes > 1)
            found = InstanceData(
                scores=scores, labels=labels, bboxes=boxes_BA4[image, anchors])
            results.append(
                self._detections(found, cfg, meta, rescale, with_nms))
        return results

    def _decode(self, bbox_preds: Sequence[Tensor]) -> Tensor:
        """Boxes of all anchors in pixels, (B, A, 4)."""
        sizes = [level.shape[2:] for level in bbox_preds]
        if sizes != self.featmap_sizes:
            self.mlvl_priors = self.prior_generator.grid_priors(
                sizes, dtype=bbox_preds[0].dtype, device=bbox_preds[0].device)
            self.featmap_sizes = sizes
        points = torch.cat(self.mlvl_priors)
        strides = torch.cat([
            points.new_full((size.numel(), ), stride)
            for size, stride in zip(sizes, self.featmap_strides)])
        distances = torch.cat([level.flatten(2) for level in bbox_preds], -1)
        return self.bbox_coder.decode(points[None], distances.transpose(1, 2),
                                      strides)

    def _detections(self, found: InstanceData, cfg: ConfigDict, meta: dict,
                    rescale: bool, with_nms: bool) -> InstanceData:
        """What the suppression leaves, clipped to the image."""
        if rescale:
            if meta.get('pad_param') is not None:
                top, _, left, _ = meta['pad_param']
                found.bboxes -= found.bboxes.new_tensor([left, top] * 2)
            found.bboxes /= found.bboxes.new_tensor(
                meta['scale_factor']).repeat((1, 2))
        if cfg.get('yolox_style', False):
            cfg = ConfigDict({**cfg, 'max_per_img': len(found)})
        found = self._bbox_post_process(
            found, cfg, rescale=False, with_nms=with_nms, img_meta=meta)
        height, width = meta['ori_shape'][:2]
        found.bboxes[:, 0::2].clamp_(0, width)
        found.bboxes[:, 1::2].clamp_(0, height)
        return found
