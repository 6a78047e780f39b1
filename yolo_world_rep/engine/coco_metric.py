"""Average precision while training and testing, as ``evaluate`` has it."""
import math
from typing import Any, Dict, List, Sequence

import numpy as np
from mmdet.evaluation import CocoMetric
from mmyolo.registry import METRICS

from ..datasets.annotations import COCO_LIMIT
from ..registry import register

#: COCO's figures as mmdet names them, and as evaluate does.
FIGURES = dict(mAP='AP', mAP_50='AP50', mAP_75='AP75', mAP_s='AP_small',
               mAP_m='AP_medium', mAP_l='AP_large')


@register(METRICS)
class ExactCocoMetric(CocoMetric):
    """COCO's average precision, not rounded, and not cut at 100 detections.

    mmdet's ``CocoMetric`` rounds to three decimals, and its mAP takes 100
    detections of a class in an image, whatever ``proposal_nums`` say.

    Args:
        proposal_nums (Sequence[int]): The largest is the number of detections
            of a class in an image that count. Defaults to (1, 10, 100).
        **kwargs: More of mmdet's ``CocoMetric``; ``metric`` is ``'bbox'``,
            ``'segm'`` or both, and ``iou_thrs`` are COCO's.
    """

    def __init__(self, proposal_nums: Sequence[int] = (1, 10, COCO_LIMIT),
                 **kwargs: Any) -> None:
        super().__init__(proposal_nums=proposal_nums, **kwargs)
        if not set(self.metrics) <= {'bbox', 'segm'} or len(
                self.iou_thrs) != 10:
            raise ValueError(
                f'ExactCocoMetric: metric={self.metrics} and iou_thrs='
                f'{kwargs.get("iou_thrs")}; expected bbox or segm, and no '
                f'iou_thrs. For others take mmdet.CocoMetric.')

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """The six figures of each metric, -1 where there is no object."""
        if self.format_only or self._coco_api is None:
            return super().compute_metrics(results)
        from ..detector.evaluation import Precisions, Rows
        from ..inference.results import Result
        truth, names = self._coco_api, self.dataset_meta['classes']
        categories = truth.get_cat_ids(cat_names=names)
        rows: Rows = []
        for own, found in results:
            masks = found.get('masks')
            if masks is not None:
                counts: List[Any] = [mask['counts'] for mask in masks]
                masks = np.array(counts + [None], object)[:-1]
            rows += Result(
                found['bboxes'], found['scores'], found['labels'], names,
                (own['height'], own['width']), encoded_masks=masks
            ).to_coco(found['img_id'], categories)
        figures: Dict[str, float] = {}
        for metric in self.metrics:
            of = Precisions.of(truth, rows, categories, metric,
                               max(self.proposal_nums))
            scores = of.figures()
            figures.update(
                (f'{metric}_{name}', scores[FIGURES[name]])
                for name in self.metric_items or FIGURES)
            if self.classwise:
                figures.update((f'{name}_precision', score)
                               for name, score in of.by_class().items())
        return {name: -1. if math.isnan(value) else value
                for name, value in figures.items()}
