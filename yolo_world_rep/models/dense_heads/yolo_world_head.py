"""YOLO-World's head: YOLOv8's, with contrastive classification."""
import math
from functools import partial
from typing import List, Optional, Sequence, Tuple, Union

import torch.nn as nn
from mmengine.model import BaseModule
from mmyolo.models.dense_heads import YOLOv8Head, YOLOv8HeadModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register
from yolo_world_rep.reparam.description import PRETRAIN_CLASSES

from ..utils import freeze
from . import contrastive
from .global_normalizer import GlobalNormalizerMixin
from .lean_predictions import LeanPredictionsMixin
from .sparse_targets import SparseTargetsMixin


class _ContrastHeadModule(YOLOv8HeadModule):
    """What the text-conditioned and the folded head module share.

    The class branch ends in D channels, and one contrastive head per level
    turns them into logits.

    Args:
        embed_dims (int): D, width of a text embedding.
        use_bn_head (bool): v2's batch-norm head, or v1's L2 head.
            Defaults to False, as in public configs.
        freeze_all (bool): Whether weights and statistics are frozen in
            training. Defaults to False.
        pretrain_classes (int): Size of the vocabulary in the pre-training. It
            determines the class branch's hidden width: ``max(in_channels[0],
            pretrain_classes)``. Defaults to 80.
    """

    def __init__(self, *args, embed_dims: int, use_bn_head: bool = False,
                 freeze_all: bool = False,
                 pretrain_classes: int = PRETRAIN_CLASSES, **kwargs) -> None:
        # Set before the parent's constructor, which builds the layers.
        self.embed_dims = embed_dims
        self.use_bn_head = use_bn_head
        self.freeze_all = freeze_all
        self.pretrain_classes = pretrain_classes
        super().__init__(*args, **kwargs)
        if freeze_all:
            freeze(self)

    def _build_contrast(self) -> BaseModule:
        """The contrastive head of a level."""
        raise NotImplementedError

    def _init_layers(self) -> None:
        # The parent takes the class branch's hidden width from the number
        # of classes. Here it belongs to the pre-training: were it to follow
        # a large vocabulary, pre-trained weights would no longer fit.
        num_classes = self.num_classes
        self.num_classes = self.pretrain_classes
        super()._init_layers()
        self.num_classes = num_classes
        for cls_pred in self.cls_preds:
            cls_pred[-1] = nn.Conv2d(cls_pred[-1].in_channels,
                                     self.embed_dims, 1)
        self.cls_contrasts = nn.ModuleList(
            self._build_contrast() for _ in range(self.num_levels))

    def init_weights(self, prior_prob: float = 0.01) -> None:
        """Boxes of stride 1, classes as rare as YOLOv8 expects them."""
        BaseModule.init_weights(self)
        for reg_pred, contrast, stride in zip(self.reg_preds,
                                              self.cls_contrasts,
                                              self.featmap_strides):
            reg_pred[-1].bias.data.fill_(1.0)
            contrast.init_bias(
                math.log(5 / self.num_classes / (640 / stride)**2))

    def forward(self, img_feats: Sequence[Tensor],
                txt_feats: Optional[Tensor] = None) -> Tuple[List[Tensor]]:
        """Logits and boxes of every level.

        Args:
            img_feats (Sequence[Tensor]): One (B, C_i, H_i, W_i) a level.
            txt_feats (Tensor, optional): (B, N, D), None when folded.

        Returns:
            tuple[list]: Logits (B, N, H_i, W_i), boxes (B, 4, H_i, W_i) as
            distances in strides, and in training their distributions.
        """
        assert len(img_feats) == self.num_levels
        outputs = [
            self.forward_single(x, partial(self._classify, index, txt_feats),
                                self.reg_preds[index])
            for index, x in enumerate(img_feats)]
        return tuple(map(list, zip(*outputs)))

    def _classify(self, index: int, txt_feats: Optional[Tensor],
                  feature: Tensor) -> Tensor:
        return self.cls_contrasts[index](self.cls_preds[index](feature),
                                         txt_feats)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.freeze_all:
            freeze(self)
        return self


@register(MODELS)
class YOLOWorldHeadModule(_ContrastHeadModule):
    """Text-conditioned head module.

    Args:
        use_einsum (bool): Accepted and without effect.
        **kwargs: As the shared body's and mmyolo's YOLOv8HeadModule.
    """

    def __init__(self, *args, use_einsum: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)

    def _build_contrast(self) -> BaseModule:
        if self.use_bn_head:
            return contrastive.BNContrastiveHead(
                self.embed_dims, norm_cfg=self.norm_cfg)
        return contrastive.ContrastiveHead(self.embed_dims)


@register(MODELS)
class RepYOLOWorldHeadModule(_ContrastHeadModule):
    """Head module with the texts folded, for mmyolo's YOLOv8Head.

    Args:
        num_guide (int): Number of texts folded into the head.
        use_bn_head (bool): v2's batch-norm head, or v1's L2 head.
            Defaults to True.
        **kwargs: As the shared body's and mmyolo's YOLOv8HeadModule.

    Raises:
        ValueError: If ``num_guide`` is not ``num_classes``.
    """

    def __init__(self, *args, num_guide: int, use_bn_head: bool = True,
                 **kwargs) -> None:
        self.num_guide = num_guide
        super().__init__(*args, use_bn_head=use_bn_head, **kwargs)
        if num_guide != self.num_classes:
            raise ValueError(
                f'RepYOLOWorldHeadModule: num_guide={num_guide} must be '
                f'num_classes={self.num_classes}: each text folded into '
                f'the head is a class. Set both to the N of the checkpoint.')

    def _build_contrast(self) -> BaseModule:
        if self.use_bn_head:
            return contrastive.RepBNContrastiveHead(
                self.embed_dims, self.num_guide, norm_cfg=self.norm_cfg)
        return contrastive.RepContrastiveHead(self.embed_dims, self.num_guide)


@register(MODELS)
class RepYOLOWorldHead(GlobalNormalizerMixin, LeanPredictionsMixin,
                       SparseTargetsMixin, YOLOv8Head):
    """mmyolo's YOLOv8Head for large vocabularies.

    Weights, predictions and the values of the losses are YOLOv8Head's.

    Args:
        sparse_targets (bool): Whether the losses avoid one-hot targets, see
            :class:`SparseTargetsMixin`. Defaults to True.
        **kwargs: As mmyolo's YOLOv8Head and the mixins.
    """

    def __init__(self, sparse_targets: bool = True, **kwargs) -> None:
        super().__init__(sparse_targets=sparse_targets, **kwargs)


@register(MODELS)
class YOLOWorldHead(GlobalNormalizerMixin, LeanPredictionsMixin,
                    SparseTargetsMixin, YOLOv8Head):
    """YOLOv8's head around a text-conditioned head module.

    It takes what the detector extracted, image and text features as one
    pair; losses and post-processing are YOLOv8's.

    Args:
        world_size (int): No effect: the losses use the true one. Public
            configs set it. Defaults to -1.
        **kwargs: As mmyolo's YOLOv8Head and the mixins.
    """

    def __init__(self, world_size: int = -1, **kwargs) -> None:
        super().__init__(**kwargs)

    def forward(self, x: Tuple[Sequence[Tensor], Tensor]) -> Tuple[List]:
        """Logits and boxes of every level, from image and text features."""
        return self.head_module(*x)

    def loss(self, x: Tuple[Sequence[Tensor], Tensor],
             batch_data_samples: Union[list, dict]) -> dict:
        """YOLOv8's losses, over as many classes as there are texts.

        ValueError if that is not the assigner's number of classes.
        """
        num_texts = x[1].shape[1]
        if num_texts != self.assigner.num_classes:
            raise ValueError(
                f'The batch has {num_texts} texts per image, but '
                f'train_cfg.assigner.num_classes is '
                f'{self.assigner.num_classes}. Set num_train_classes and '
                f'the assigner to the number of texts that training draws '
                f'(max_num_samples of RandomLoadText with '
                f'padding_to_max=True, or the rows of embedding_path).')
        self.num_classes = num_texts
        return super().loss(x, batch_data_samples)

    def predict(self, x: Tuple[Sequence[Tensor], Tensor],
                batch_data_samples: list, rescale: bool = False) -> list:
        """YOLOv8's detections, a class for each text."""
        self.num_classes = x[1].shape[1]
        return super().predict(x, batch_data_samples, rescale=rescale)
