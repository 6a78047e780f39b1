"""Pipelines that take boxes from masks, on data without masks."""
from typing import Any, Tuple

LOOKED_AT = 200  # images; a data set has masks throughout or not at all


def takes_boxes_from_masks(dataset: Any) -> bool:
    """Whether the pipeline of a data set computes its boxes from masks."""
    transforms = getattr(
        getattr(dataset, 'pipeline', None), 'transforms', None)
    return any(getattr(step, 'mask2bbox', False) for step in transforms or ())


def count_masks(dataset: Any) -> Tuple[int, int]:
    """Boxes with and without masks in the first images, without crowds.

    mmyolo leaves a box without a mask out when it computes boxes from masks,
    and says nothing.
    """
    found = [bool(instance.get('mask'))
             for index in range(min(len(dataset), LOOKED_AT))
             for instance in dataset.get_data_info(index).get('instances', ())
             if not instance.get('ignore_flag')]
    return sum(found), len(found) - sum(found)
