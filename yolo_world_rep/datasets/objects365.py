"""Objects365, with mmyolo's ``batch_shapes_cfg``."""
from mmdet.datasets import Objects365V1Dataset, Objects365V2Dataset
from mmyolo.datasets.yolov5_coco import BatchShapePolicyDataset
from mmyolo.registry import DATASETS

from ..registry import register


@register(DATASETS)
class YOLOv5Objects365V1Dataset(BatchShapePolicyDataset, Objects365V1Dataset):
    """mmdet's Objects365 v1 under its public name."""


@register(DATASETS)
class YOLOv5Objects365V2Dataset(BatchShapePolicyDataset, Objects365V2Dataset):
    """mmdet's Objects365 v2 under its public name."""
