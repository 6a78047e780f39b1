"""mmyolo's transforms of training images, the same results in less time."""
from functools import lru_cache
from typing import Any, List

import cv2
import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type
from mmdet.structures.mask import PolygonMasks
from mmyolo.datasets.transforms import (
    Mosaic,
    YOLOv5CopyPaste,
    YOLOv5MixUp,
    YOLOv5RandomAffine,
)
from mmyolo.registry import TRANSFORMS

from ...registry import register
from .loading import kept_images

LEAST_KEPT = 40  # images to draw a mosaic from, as mmyolo's own cache has
ROWS = 16  # of a picture, which stay in the processor's cache
_linspace = lru_cache(4096)(np.linspace)


class SharesAnnotations:
    """Mixin: does not copy what a data set of mmengine gives a copy of."""

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Mix an image with others of the data set."""
        if self.use_cached:
            return super().transform(results)
        if np.random.uniform(0, 1) > self.prob:
            return results
        dataset = results.pop('dataset')
        prepare = self.pre_transform or dict
        results['mix_results'] = [
            prepare(dict(dataset.get_data_info(index), dataset=dataset))
            for index in np.atleast_1d(self.get_indexes(dataset)).tolist()]
        results = self.mix_img_transform(results)
        results.pop('mix_results', None)
        results['dataset'] = dataset
        return results


@register(TRANSFORMS)
class FastMosaic(SharesAnnotations, Mosaic):
    """:class:`mmyolo.Mosaic` in less time.

    If the loading keeps images, and has 40, it draws from them.
    """

    def get_indexes(self, dataset: Any) -> List[int]:
        """Three images for an image's mosaic."""
        kept = () if self.use_cached else tuple(kept_images.get(dataset, ()))
        if len(kept) < LEAST_KEPT:
            return super().get_indexes(dataset)
        return np.random.choice(kept, 3).tolist()


@register(TRANSFORMS)
class FastYOLOv5MixUp(SharesAnnotations, YOLOv5MixUp):
    """:class:`mmyolo.YOLOv5MixUp` in less time."""

    def mix_img_transform(self, results: dict) -> dict:
        """Mix two images, a few rows at a time."""
        other = results['mix_results'][0]
        ratio = np.random.beta(self.alpha, self.beta)
        mixed = np.empty(results['img'].shape, np.uint8)
        for row in range(0, len(mixed), ROWS):
            rows = slice(row, row + ROWS)
            mixed[rows] = (results['img'][rows] * ratio +
                           other['img'][rows] * (1 - ratio))
        for key in ('gt_bboxes', 'gt_masks'):
            if key in results:
                results[key] = results[key].cat([results[key], other[key]])
        _append(results, other)
        results.update(img=mixed, img_shape=mixed.shape)
        return results


def _append(results: dict, other: dict, which: Any = slice(None)) -> None:
    """Add classes and flags of objects to those of an image."""
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        if results.get(key) is not None:
            results[key] = np.concatenate((results[key], other[key][which]))


@register(TRANSFORMS)
class FastYOLOv5CopyPaste(YOLOv5CopyPaste):
    """:class:`mmyolo.YOLOv5CopyPaste` in less time."""

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Paste some objects to where they are in a mirror."""
        masks = results.get('gt_masks', ())
        if not len(masks):
            return results
        boxes, image = results['gt_bboxes'], results['img']
        mirrored = boxes.clone()
        mirrored.flip_(image.shape)
        free = self.bbox_ioa(mirrored, boxes) < self.ioa_thresh
        free = torch.nonzero(free.all(1))[:, 0]
        chosen = np.random.choice(
            free, size=round(self.prob * len(free)), replace=False)
        if not len(chosen):
            return results
        pasted, mask = masks[chosen], np.zeros(image.shape[:2], np.uint8)
        for parts in pasted.masks:
            cv2.drawContours(
                mask, [part.reshape(-1, 1, 2).astype(np.int32)
                       for part in parts], -1, (1, ), cv2.FILLED)
        x, y, width, height = cv2.boundingRect(mask)
        if width:
            own = slice(y, y + height), slice(x, x + width)
            end = image.shape[1] - x
            cv2.copyTo(cv2.flip(image[own], 1), cv2.flip(mask[own], 1),
                       image[own[0], end - width:end])
        results['gt_bboxes'] = boxes.cat([boxes, mirrored[chosen]])
        results['gt_masks'] = masks.cat([masks, pasted.flip()])
        _append(results, results, chosen)
        return results


def _rows(masks: PolygonMasks) -> List[np.ndarray]:
    return [part for parts in masks.masks for part in parts]


def _like(masks: PolygonMasks, rows: np.ndarray, height: int,
          width: int) -> PolygonMasks:
    """Polygons of the same objects from rows x, y, x, y, ...."""
    left = iter(rows)
    return PolygonMasks([[next(left) for _ in parts]
                         for parts in masks.masks], height, width)


@register(TRANSFORMS)
class FastYOLOv5RandomAffine(YOLOv5RandomAffine):
    """:class:`mmyolo.YOLOv5RandomAffine`, all polygons at once."""

    def resample_masks(self, gt_masks: PolygonMasks) -> PolygonMasks:
        """As they are: warping does it."""
        return gt_masks

    def warp_mask(self, gt_masks: PolygonMasks, warp_matrix: np.ndarray,
                  img_w: int, img_h: int) -> PolygonMasks:
        """Polygons of ``resample_num`` points in the warped image."""
        parts = _rows(gt_masks)
        points = np.ones((len(parts), self.resample_num, 3))
        for row, part in zip(points, parts):
            closed = np.concatenate((part, part[:2]))
            corners = np.arange(len(closed) // 2)
            x = _linspace(0, len(corners) - 1, self.resample_num)
            for axis in range(2):
                row[:, axis] = np.interp(x, corners, closed[axis::2])
        points = points @ warp_matrix.T
        points = points[..., :2] / points[..., 2:]
        return _like(gt_masks, points.reshape(len(parts), -1), img_h, img_w)

    def segment2box(self, gt_masks: PolygonMasks, height: int,
                    width: int) -> HorizontalBoxes:
        """Boxes around what of the polygons is inside the image."""
        rows = np.stack(_rows(gt_masks)).astype(np.float32)
        x, y = rows[:, 0::2].copy(), rows[:, 1::2].copy()
        inside = (x >= 0) & (y >= 0) & (x <= width) & (y <= height)
        # To mmyolo, a polygon on the left border alone is outside.
        inside &= (inside & (x != 0)).any(1, keepdims=True)
        starts = np.cumsum([0, *map(len, gt_masks.masks[:-1])])
        boxes = np.stack([
            limit.reduceat(limit.reduce(np.where(inside, side, outside), 1),
                           starts)
            for limit, outside in ((np.minimum, np.inf), (np.maximum, -1))
            for side in (x, y)], 1).astype(np.float32)
        boxes[boxes[:, 2] < 0] = 0
        return HorizontalBoxes(boxes)

    def clip_polygons(self, gt_masks: PolygonMasks, height: int,
                      width: int) -> PolygonMasks:
        """Polygons whose points are all inside the image."""
        rows = np.stack(_rows(gt_masks))
        for axis, side in enumerate((width, height)):
            np.clip(rows[:, axis::2], 0, side, out=rows[:, axis::2])
        return _like(gt_masks, rows, height, width)


@register(TRANSFORMS)
class FastPackDetInputs(PackDetInputs):
    """:class:`mmdet.PackDetInputs`, which splits channels in less time."""

    def transform(self, results: dict) -> dict:
        """Pack an image and its objects."""
        image = np.ascontiguousarray(results['img'])
        results['img'] = np.stack(cv2.split(image)).transpose(1, 2, 0)
        return super().transform(results)
