"""YOLO-World-Seg: a mask for each detection.

Besides a class and a box each cell has K coefficients, and each image has K
prototype masks; the sigmoid of their product is the mask, inside the box
(YOLACT). No text takes part, so the masks need no folding.
"""
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.config import ConfigDict
from mmengine.dist import get_dist_info
from mmengine.structures import InstanceData
from mmyolo.models.dense_heads import YOLOv5InsHead
from mmyolo.models.dense_heads.yolov5_ins_head import ProtoModule
from mmyolo.registry import MODELS
from torch import Tensor, nn

from yolo_world_rep.registry import register

from ..utils import freeze
from .lean_predictions import with_lowest_score
from .sparse_targets import Positives
from .yolo_world_head import (
    RepYOLOWorldHead,
    RepYOLOWorldHeadModule,
    YOLOWorldHead,
    YOLOWorldHeadModule,
)

LOSS_MASK = dict(
    type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='none')


class _MaskBranches:
    """For a head module: coefficients on every level, and the prototypes.

    Args:
        mask_channels (int): Coefficients per mask. Defaults to 32.
        proto_channels (int): Width of the prototypes' layers, the same for
            all sizes; ``widen_factor`` does not scale it. Defaults to 256.
        freeze_bbox (bool): Whether the class and box branches are frozen, to
            learn masks for an open vocabulary from a few classes. Defaults to
            False.
    """

    def __init__(self, *args, mask_channels: int = 32,
                 proto_channels: int = 256, freeze_bbox: bool = False,
                 **kwargs) -> None:
        # Set before the parent's constructor, which builds the layers.
        self.mask_channels = mask_channels
        self.proto_channels = proto_channels
        self.freeze_bbox = freeze_bbox
        super().__init__(*args, **kwargs)
        self.train(self.training)

    def _init_layers(self) -> None:
        super()._init_layers()
        layers = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        width = max(self.in_channels[0] // 4, self.mask_channels)
        self.seg_preds = nn.ModuleList(
            nn.Sequential(
                ConvModule(channels, width, 3, padding=1, **layers),
                ConvModule(width, width, 3, padding=1, **layers),
                nn.Conv2d(width, self.mask_channels, 1))
            for channels in self.in_channels)
        self.proto_pred = ProtoModule(
            in_channels=self.in_channels[0], mask_channels=self.mask_channels,
            middle_channels=self.proto_channels, **layers)

    def forward(self, img_feats: Sequence[Tensor],
                txt_feats: Optional[Tensor] = None) -> Tuple:
        """The parent's lists, then the masks.

        Coefficients are (B, K, H_i, W_i) on every level, prototypes
        (B, K, 2·H_0, 2·W_0).
        """
        coefficients = [
            branch(x) for branch, x in zip(self.seg_preds, img_feats)]
        return (*super().forward(img_feats, txt_feats), coefficients,
                self.proto_pred(img_feats[0]))

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.freeze_bbox:
            for name, child in self.named_children():
                if name not in ('seg_preds', 'proto_pred'):
                    freeze(child)
        return self


@register(MODELS)
class YOLOWorldSegHeadModule(_MaskBranches, YOLOWorldHeadModule):
    """Text-conditioned head module with masks.

    The arguments are those of :class:`YOLOWorldHeadModule`,
    ``mask_channels``, ``proto_channels`` and ``freeze_bbox``.
    """


@register(MODELS)
class RepYOLOWorldSegHeadModule(_MaskBranches, RepYOLOWorldHeadModule):
    """Head module with masks and the texts folded.

    The arguments are those of :class:`RepYOLOWorldHeadModule`,
    ``mask_channels``, ``proto_channels`` and ``freeze_bbox``.
    """


class _Masks:
    """For a head: the loss of the masks, and masks of the detections.

    Args:
        mask_overlap (bool): Whether the masks of an image are one map of
            numbers, as Polygon2Mask makes by default, or one mask per box.
            Defaults to True.
        loss_mask (dict): A loss with ``reduction='none'``.
        loss_mask_weight (float): Its weight. Defaults to 0.05.
        sparse_targets (bool): Must be True. Defaults to True.
    """

    def __init__(self, mask_overlap: bool = True, loss_mask: dict = LOSS_MASK,
                 loss_mask_weight: float = 0.05, sparse_targets: bool = True,
                 **kwargs) -> None:
        if not sparse_targets:
            raise ValueError(
                f'{type(self).__name__}: sparse_targets=False; expected '
                f'True, as mmyolo\'s assigner does not say which box, and '
                f'so which mask, an anchor is to find. Leave it out.')
        super().__init__(sparse_targets=True, **kwargs)
        self.mask_overlap = mask_overlap
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_mask_weight = loss_mask_weight

    def loss(self, x: Tuple, batch_data_samples: dict) -> dict:
        """The losses, of masks too; ValueError for a batch without masks."""
        if not isinstance(batch_data_samples,
                          dict) or 'masks' not in batch_data_samples:
            raise ValueError(
                f'{type(self).__name__} got a batch without masks. Set '
                f'with_mask=True in LoadAnnotations, end the pipeline with '
                f'dict(type=\'Polygon2Mask\') and '
                f'dict(type=\'PackDetInputs\'), mmyolo\'s, and use '
                f'collate_fn=dict(type=\'yolov5_collate\').')
        return super().loss(x, batch_data_samples)

    def loss_by_feat(self, cls_scores: Sequence[Tensor],
                     bbox_preds: Sequence[Tensor],
                     bbox_dist_preds: Sequence[Tensor],
                     coeff_preds: Sequence[Tensor], proto_preds: Tensor,
                     batch_gt_instances: Tensor, batch_gt_masks: Tensor,
                     batch_img_metas: Sequence[dict],
                     batch_gt_instances_ignore: Optional[list] = None) -> dict:
        """The losses from what the head module puts out.

        The loss of a mask is that of its pixels inside the box, summed and
        divided by the box's area; of an image it is the mean over its
        positive anchors, of a batch the sum over its images.
        ``batch_gt_masks`` are (B, h, w) with one more than the number of the
        box, 0 for none; without ``mask_overlap`` they are (boxes, h, w).
        """
        losses, positives = self.losses_and_positives(
            cls_scores, bbox_preds, bbox_dist_preds, batch_gt_instances,
            batch_img_metas)
        stride = self.featmap_strides[0]
        size = tuple(stride * side for side in cls_scores[0].shape[2:])
        coeffs_BAK = torch.cat([x.flatten(2) for x in coeff_preds],
                               2).transpose(1, 2)
        losses['loss_mask'] = self.loss_mask_weight * get_dist_info()[1] * (
            self._loss_of_masks(coeffs_BAK, proto_preds, positives,
                                batch_gt_instances[:, 0].long(),
                                batch_gt_masks, size))
        return losses

    def _loss_of_masks(self, coeffs_BAK: Tensor, protos: Tensor,
                       positives: Positives, image_of_box: Tensor,
                       masks: Tensor, size: Tuple[int, int]) -> Tensor:
        """Sum over the images of the mean of their positives' losses.

        Prototypes are (B, K, h, w), ``size`` is the images' (height, width),
        and ``image_of_box`` numbers the image of each box of the batch.
        """
        # Zero, with a gradient for every parameter: a distributed wrapper
        # waits for each of them.
        total = (coeffs_BAK.sum() + protos.sum()) * 0
        if not len(image_of_box):
            return total
        masks = F.interpolate(
            masks[None].to(protos.dtype), protos.shape[2:], mode='nearest')[0]
        to_protos = protos.new_tensor([
            protos.shape[3] / size[1], protos.shape[2] / size[0]
        ]).repeat(2)
        first = 0
        for image, proto in enumerate(protos):
            own = positives.image == image
            truth = positives.truth[own]
            if self.mask_overlap:
                target = (masks[image] == truth[:, None, None] + 1).to(masks)
            else:
                target = masks[first + truth]
                first += int((image_of_box == image).sum())
            if not len(truth):
                continue
            coeffs = coeffs_BAK[image, positives.anchor[own]]
            logits = (coeffs @ proto.flatten(1)).unflatten(1, proto.shape[1:])
            boxes = positives.box[own].to(proto) * to_protos
            pixels = self.crop_mask(
                self.loss_mask(logits, target)[None], boxes)[0]
            area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
            total = total + (pixels.sum((1, 2)) / area).mean()
        return total

    def predict_by_feat(self, cls_scores: List[Tensor],
                        bbox_preds: List[Tensor], coeff_preds: List[Tensor],
                        proto_preds: Tensor,
                        batch_img_metas: Optional[List[dict]] = None,
                        cfg: Optional[ConfigDict] = None, rescale: bool = True,
                        with_nms: bool = True) -> List[InstanceData]:
        """Detections with ``masks``, booleans (n, height, width).

        ``cfg``, by default ``test_cfg``, needs ``mask_thr_binary``. Without
        ``rescale`` boxes and masks are of the input, not the original image.
        """
        cfg = with_lowest_score(self.test_cfg if cfg is None else cfg)
        results = []
        # One at a time: without objectnesses mmyolo's method returns as
        # many images as there are levels.
        for image, meta in enumerate(batch_img_metas):
            one = slice(image, image + 1)
            if not rescale:
                # Its masks would have an axis too many. Scaling back to an
                # image that is the input changes nothing.
                meta = dict(meta, ori_shape=meta['batch_input_shape'])
                meta.pop('pad_param', None)
            results += YOLOv5InsHead.predict_by_feat(
                self, [x[one] for x in cls_scores],
                [x[one] for x in bbox_preds], None,
                [x[one] for x in coeff_preds], proto_preds[one], [meta], cfg,
                True, with_nms)
        return results


@register(MODELS)
class YOLOWorldSegHead(_Masks, YOLOWorldHead, YOLOv5InsHead):
    """Text-conditioned head with masks.

    The arguments are those of :class:`YOLOWorldHead`, ``mask_overlap``,
    ``loss_mask`` and ``loss_mask_weight``.
    """


@register(MODELS)
class RepYOLOWorldSegHead(_Masks, RepYOLOWorldHead, YOLOv5InsHead):
    """Folded head with masks.

    The arguments are those of :class:`RepYOLOWorldHead`, ``mask_overlap``,
    ``loss_mask`` and ``loss_mask_weight``.
    """
