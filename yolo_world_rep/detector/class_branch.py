"""A config whose class branch is as wide as a checkpoint's."""
import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS

from yolo_world_rep.models import dense_heads
from yolo_world_rep.reparam.description import PRETRAIN_CLASSES, Description
from yolo_world_rep.utils.log import log


def contrast_head(cfg: Config) -> Any:
    """The head module of a config's model, None if it is not ours."""
    head = (cfg.model.get('bbox_head') or {}).get('head_module') or {}
    with DefaultScope.overwrite_default_scope('mmyolo'):
        kind = head.get('type')
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
    ours = (dense_heads.RepYOLOWorldHeadModule,
            dense_heads.YOLOWorldHeadModule)
    return head if kind is not None and issubclass(kind, ours) else None


def with_class_branch(cfg: Config, found: Description) -> Config:
    """A config whose class branch is as wide as a checkpoint's.

    Where the width differs, that is a copy with another ``pretrain_classes``.
    """
    head = contrast_head(cfg)
    width = None if head is None else found.pretrain_classes(
        head.get('pretrain_classes', PRETRAIN_CLASSES))
    if width is None:
        return cfg
    cfg = copy.deepcopy(cfg)
    cfg.model.bbox_head.head_module.pretrain_classes = width
    log(f'The class branch of the checkpoint is {width} channels wide: '
        f'model.bbox_head.head_module.pretrain_classes={width}')
    return cfg
