"""mmyolo's image mixing, for images that carry different texts."""
from typing import Sequence

import numpy as np
from mmyolo.datasets.transforms import (
    Mosaic,
    Mosaic9,
    YOLOv5MixUp,
    YOLOXMixUp,
)
from mmyolo.registry import TRANSFORMS

from ...registry import register


def merge_texts(images: Sequence[dict]) -> None:
    """Bring images that are about to be mixed to one common vocabulary.

    The vocabulary is that of the first image followed by what the others
    add; the labels of each image are renumbered to it. Two entries are the
    same when all their synonyms are.

    Args:
        images (Sequence[dict]): Results of a pipeline. ``texts`` and
            ``gt_bboxes_labels`` are replaced, unless all have the same
            texts (or none has any).
    """
    vocabularies = [image.get('texts') for image in images]
    if all(texts == vocabularies[0] for texts in vocabularies[1:]):
        return
    # Images of one dataset are mixed, so all of them have texts or none.
    assert None not in vocabularies
    merged, position = [], {}
    for texts in vocabularies:
        for entry in texts:
            key = _key(entry)
            if key not in position:
                position[key] = len(merged)
                merged.append(entry)
    for image, texts in zip(images, vocabularies):
        labels = image['gt_bboxes_labels']
        renumber = np.array([position[_key(entry)] for entry in texts])
        if len(labels):
            image['gt_bboxes_labels'] = renumber[labels].astype(labels.dtype)
        image['texts'] = list(merged)


def _key(entry):
    return entry if isinstance(entry, str) else tuple(entry)


class _MergesTexts:
    """Mixin: the vocabularies are merged before the images are."""

    def mix_img_transform(self, results: dict) -> dict:
        merge_texts([results, *results['mix_results']])
        return super().mix_img_transform(results)


@register(TRANSFORMS)
class MultiModalMosaic(_MergesTexts, Mosaic):
    """:class:`mmyolo.Mosaic` of four images with texts of their own.

    Arguments are those of :class:`mmyolo.Mosaic`.
    """


@register(TRANSFORMS)
class MultiModalMosaic9(_MergesTexts, Mosaic9):
    """:class:`mmyolo.Mosaic9` of nine images with texts of their own.

    Arguments are those of :class:`mmyolo.Mosaic9`.
    """


@register(TRANSFORMS)
class YOLOv5MultiModalMixUp(_MergesTexts, YOLOv5MixUp):
    """:class:`mmyolo.YOLOv5MixUp` of two images with texts of their own.

    Arguments are those of :class:`mmyolo.YOLOv5MixUp`.
    """


@register(TRANSFORMS)
class YOLOXMultiModalMixUp(_MergesTexts, YOLOXMixUp):
    """:class:`mmyolo.YOLOXMixUp` of two images with texts of their own.

    Arguments are those of :class:`mmyolo.YOLOXMixUp`.
    """
