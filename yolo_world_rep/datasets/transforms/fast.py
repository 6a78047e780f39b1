"""mmyolo's transforms of training images, the same results in less time."""
from functools import lru_cache
from typing import Any, List, Union

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


@register(TRANSFORMS)
class FastYOLOv5RandomAffine(YOLOv5RandomAffine):
    """:class:`mmyolo.YOLOv5RandomAffine`, all polygons at once."""

    def resample_masks(self, gt_masks: PolygonMasks
                       ) -> Union[PolygonMasks, np.ndarray]:
        """Points (objects, resample_num, 3), homogeneous coordinates."""
        if any(len(parts) > 1 for parts in gt_masks.masks):
            return super().resample_masks(gt_masks)
        points = np.ones((len(gt_masks), self.resample_num, 3))
        for row, (part, ) in zip(points, gt_masks.masks):
            closed = np.concatenate((part, part[:2]))
            corners = len(closed) // 2
            x = _linspace(0, corners - 1, self.resample_num)
            for axis in range(2):
                row[:, axis] = np.interp(
                    x, np.arange(corners), closed[axis::2])
        return points

    def warp_mask(self, gt_masks: Union[PolygonMasks, np.ndarray],
                  warp_matrix: np.ndarray, img_w: int,
                  img_h: int) -> PolygonMasks:
        """The polygons in the warped image."""
        if isinstance(gt_masks, PolygonMasks):
            return super().warp_mask(gt_masks, warp_matrix, img_w, img_h)
        points = gt_masks @ warp_matrix.T
        points = points[..., :2] / points[..., 2:]
        return PolygonMasks([[row.reshape(-1)] for row in points], img_h,
                            img_w)

    def segment2box(self, gt_masks: PolygonMasks, height: int,
                    width: int) -> HorizontalBoxes:
        """Boxes around what of the polygons is inside the image."""
        if any(len(parts) > 1 for parts in gt_masks.masks):
            return super().segment2box(gt_masks, height, width)
        x, y = (np.stack([part[axis::2] for part, in gt_masks.masks]).astype(
            np.float32) for axis in range(2))
        inside = (x >= 0) & (y >= 0) & (x <= width) & (y <= height)
        # To mmyolo, a polygon on the left border alone is outside.
        inside &= (inside & (x != 0)).any(1, keepdims=True)
        boxes = np.stack([
            limit(np.where(inside, side, outside), 1)
            for limit, outside in ((np.min, np.inf), (np.max, -1))
            for side in (x, y)], 1).astype(np.float32)
        boxes[boxes[:, 2] < 0] = 0
        return HorizontalBoxes(boxes)


@register(TRANSFORMS)
class FastPackDetInputs(PackDetInputs):
    """:class:`mmdet.PackDetInputs`, which splits channels in less time."""

    def transform(self, results: dict) -> dict:
        """Pack an image and its objects."""
        image = np.ascontiguousarray(results['img'])
        results['img'] = np.stack(cv2.split(image)).transpose(1, 2, 0)
        return super().transform(results)
