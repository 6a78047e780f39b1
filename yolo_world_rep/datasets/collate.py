"""Batches of images that carry texts."""
from typing import List, Optional, Sequence

import torch
from mmengine.dataset import COLLATE_FUNCTIONS
from mmyolo.datasets import yolov5_collate

from ..registry import register


@register(COLLATE_FUNCTIONS)
def yolow_collate(data_batch: Sequence[dict], use_ms_training: bool = False,
                  _scope_: Optional[str] = None) -> dict:
    """Collate a training batch in mmyolo's fast form, with its texts.

    Args:
        data_batch (Sequence[dict]): B items, each with ``inputs``, an
            image of shape (3, H, W), and ``data_samples``.
        use_ms_training (bool): Whether images stay a list, for training
            on several scales. Defaults to False.
        _scope_ (str, optional): Not used. A config that inherits from
            ``mmyolo::…`` stamps it on this function's arguments.

    Returns:
        dict: ``inputs``, shape (B, 3, H, W), and ``data_samples``, a dict
        of ``bboxes_labels``, shape (number of boxes, 6) with rows of
        (image index, label, x1, y1, x2, y2), and, where the samples have
        them, ``masks``, ``texts`` (B lists of N strings) and
        ``is_detection`` (shape (B, )).

    Raises:
        ValueError: If the images have different numbers of texts, or only
            some of them have any.
    """
    batch = yolov5_collate(data_batch, use_ms_training)
    samples = [item['data_samples'] for item in data_batch]
    texts = _of_all(samples, 'texts')
    if texts is not None:
        counts = [len(text) for text in texts]
        if len(set(counts)) > 1:
            raise ValueError(
                f'texts: the images of a batch have {counts} texts, but '
                f'all must have as many; set padding_to_max=True in '
                f'RandomLoadText')
        batch['data_samples']['texts'] = texts
    is_detection = _of_all(samples, 'is_detection')
    if is_detection is not None:
        batch['data_samples']['is_detection'] = torch.as_tensor(is_detection)
    return batch


def _of_all(samples: Sequence, key: str) -> Optional[List]:
    """A field of all samples, or None if none of them has it."""
    values = [sample.get(key) for sample in samples if key in sample]
    if values and len(values) != len(samples):
        raise ValueError(
            f'{key}: {len(values)} of {len(samples)} images of a batch have '
            f'it; datasets that are trained together must all have it, and '
            f'name it in meta_keys of PackDetInputs')
    return values or None
