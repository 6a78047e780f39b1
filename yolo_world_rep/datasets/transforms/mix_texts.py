"""mmyolo's image mixing, for images that carry different texts."""
from typing import Any, Dict, Sequence

import numpy as np
from mmyolo.datasets.transforms import Mosaic9, YOLOXMixUp
from mmyolo.registry import TRANSFORMS

from ...registry import register
from .fast import FastMosaic, FastYOLOv5MixUp, SharesAnnotations


def merge_texts(images: Sequence[dict]) -> None:
    """Bring images that are about to be mixed to one common vocabulary.

    The vocabulary is that of the first image followed by what the others add.
    It replaces ``texts``, and ``gt_bboxes_labels`` are renumbered, unless all
    have the same texts (or none has any). Two entries are the same when all
    their synonyms are.
    """
    vocabularies = [image.get('texts') for image in images]
    if all(texts == vocabularies[0] for texts in vocabularies[1:]):
        return
    # Images of one dataset are mixed, so all of them have texts or none.
    assert None not in vocabularies
    merged: Dict[Any, Any] = {}
    for texts in vocabularies:
        for entry in texts:
            merged.setdefault(_key(entry), entry)
    position = {key: index for index, key in enumerate(merged)}
    for image, texts in zip(images, vocabularies):
        labels = image['gt_bboxes_labels']
        renumber = np.array([position[_key(entry)] for entry in texts])
        if len(labels):
            image['gt_bboxes_labels'] = renumber[labels].astype(labels.dtype)
        image['texts'] = list(merged.values())


def _key(entry):
    return entry if isinstance(entry, str) else tuple(entry)


class MergesTexts:
    """Mixin: the vocabularies are merged before the images are."""

    def mix_img_transform(self, results: dict) -> dict:
        merge_texts([results, *results['mix_results']])
        return super().mix_img_transform(results)


@register(TRANSFORMS)
class MultiModalMosaic(MergesTexts, FastMosaic):
    """:class:`mmyolo.Mosaic` of four images, each with its own texts."""


@register(TRANSFORMS)
class MultiModalMosaic9(MergesTexts, SharesAnnotations, Mosaic9):
    """:class:`mmyolo.Mosaic9` of nine images, each with its own texts."""


@register(TRANSFORMS)
class YOLOv5MultiModalMixUp(MergesTexts, FastYOLOv5MixUp):
    """:class:`mmyolo.YOLOv5MixUp` of two images, each with its own texts."""


@register(TRANSFORMS)
class YOLOXMultiModalMixUp(MergesTexts, SharesAnnotations, YOLOXMixUp):
    """:class:`mmyolo.YOLOXMixUp` of two images, each with its own texts."""
