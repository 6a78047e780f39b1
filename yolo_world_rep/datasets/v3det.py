"""V3Det, whose thousands of names are those of its annotation file."""
from mmdet.datasets import Objects365V1Dataset
from mmyolo.datasets.yolov5_coco import BatchShapePolicyDataset
from mmyolo.registry import DATASETS

from ..registry import register


@register(DATASETS)
class V3DetDataset(Objects365V1Dataset):
    """V3Det in COCO format, labels in the order of its category ids.

    Without classes in ``metainfo`` they are all categories of the file. Images
    that cannot be read are left out by ``yolo-world-rep train
    --skip-unreadable``, not by a list in here.
    """

    # No name at all stands for every category of the file.
    METAINFO = dict(classes=(), palette=None)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """As mmdet's; the first image sets the names of the classes."""
        if not self._metainfo['classes']:
            names = (self.coco.cats[i]['name'] for i in self.cat_ids)
            self._metainfo['classes'] = tuple(names)
        return super().parse_data_info(raw_data_info)


@register(DATASETS)
class YOLOv5V3DetDataset(BatchShapePolicyDataset, V3DetDataset):
    """:class:`V3DetDataset` with mmyolo's batch shapes."""
