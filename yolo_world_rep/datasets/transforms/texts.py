"""The texts for the model, drawn from a vocabulary."""
from typing import Optional, Sequence, Tuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmyolo.registry import TRANSFORMS

from ...registry import register
from ...text import load_class_texts
from ...text.encoders import check_formats


class _TextTransform(BaseTransform):
    """A vocabulary and a prompt, for both transforms."""

    def __init__(self, text_path: Optional[str], prompt_format: str) -> None:
        check_formats([prompt_format])
        self.text_path = text_path
        self.prompt_format = prompt_format
        self.class_texts = (
            None if text_path is None else load_class_texts(text_path))

    def vocabulary(self, results: dict) -> Sequence[Sequence[str]]:
        """Synonyms of each class; the dataset's go before the file's."""
        texts = results.get('texts', self.class_texts)
        if texts is None:
            raise ValueError(
                f'{type(self).__name__}: neither text_path nor texts of the '
                f'dataset; give text_path, or wrap the dataset in '
                f'MultiModalDataset with class_text_path')
        return [[entry] if isinstance(entry, str) else entry
                for entry in texts]


@register(TRANSFORMS)
class LoadText(_TextTransform):
    """The whole vocabulary as texts, for testing: first synonyms.

    Args:
        text_path (str, optional): JSON file of class texts, used where the
            dataset has none. Defaults to None.
        prompt_format (str): Prompt, with ``{}`` for the class name. Defaults
            to ``'{}'``.
        multi_prompt_flag (str): Separator of several prompts in one text. The
            text is passed on as a whole; only text models that know the
            separator split it. Defaults to ``'/'``.

    Raises:
        ValueError: If the file cannot be read or the prompt has no
            ``{}``.
    """

    def __init__(self, text_path: Optional[str] = None,
                 prompt_format: str = '{}',
                 multi_prompt_flag: str = '/') -> None:
        super().__init__(text_path, prompt_format)
        self.multi_prompt_flag = multi_prompt_flag

    def transform(self, results: dict) -> dict:
        """Set ``texts``, one string per class, in the order of labels."""
        results['texts'] = [self.prompt_format.format(synonyms[0])
                            for synonyms in self.vocabulary(results)]
        return results


@register(TRANSFORMS)
class RandomLoadText(_TextTransform):
    """Draw a new small vocabulary for each training image.

    Drawn are the classes of the image (all that fit) and random others as
    negatives, in random order, with a random synonym each. Labels are
    renumbered to the order drawn; boxes of classes that were not drawn go.

    Args:
        text_path (str, optional): JSON file of class texts, used where the
            dataset has none. Defaults to None.
        prompt_format (str): Prompt, with ``{}`` for the class name. Defaults
            to ``'{}'``.
        num_neg_samples (Tuple[int, int]): Minimum and maximum number of
            negatives. Fewer are drawn if the vocabulary or ``max_num_samples``
            does not allow more. Defaults to (80, 80).
        max_num_samples (int): Maximum number of texts. Defaults to 80.
        padding_to_max (bool): Whether to fill up to ``max_num_samples`` texts.
            All images in a batch need the same number. Defaults to False.
        padding_value (str): The text to pad with. Defaults to ``''``.

    Raises:
        ValueError: If the file cannot be read, the prompt has no ``{}``,
            or the numbers are no such numbers.
    """

    #: What belongs to one box each, and is dropped with it.
    box_keys = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags',
                'gt_masks', 'gt_keypoints')

    def __init__(self, text_path: Optional[str] = None,
                 prompt_format: str = '{}',
                 num_neg_samples: Tuple[int, int] = (80, 80),
                 max_num_samples: int = 80, padding_to_max: bool = False,
                 padding_value: str = '') -> None:
        super().__init__(text_path, prompt_format)
        if (not isinstance(num_neg_samples, (tuple, list))
                or len(num_neg_samples) != 2
                or not 0 <= num_neg_samples[0] <= num_neg_samples[1]):
            raise ValueError(
                f'num_neg_samples={num_neg_samples!r}: expected the least '
                f'and the greatest number of negatives, such as (80, 80)')
        if max_num_samples < 1:
            raise ValueError(f'max_num_samples={max_num_samples!r}: expected '
                             f'at least one text per image')
        self.num_neg_samples = tuple(num_neg_samples)
        self.max_num_samples = max_num_samples
        self.padding_to_max = padding_to_max
        self.padding_value = padding_value

    def draw(self, positives: np.ndarray, num_classes: int) -> np.ndarray:
        """At most ``max_num_samples`` distinct classes, in random order.

        ``positives`` are the classes in the image, each once; ``num_classes``
        is the size of the vocabulary.
        """
        kept = np.random.permutation(positives)[:self.max_num_samples]
        others = np.setdiff1d(np.arange(num_classes), positives)
        low, high = self.num_neg_samples
        count = min(np.random.randint(low, high + 1),
                    self.max_num_samples - len(kept), len(others))
        negatives = np.random.choice(others, count, replace=False)
        return np.random.permutation(
            np.concatenate([kept, negatives]).astype(np.int64))

    def transform(self, results: dict) -> dict:
        """Set ``texts`` and renumber the labels to them."""
        vocabulary = self.vocabulary(results)
        labels = np.asarray(results.get('gt_bboxes_labels', ()), np.int64)
        if len(labels) and labels.max() >= len(vocabulary):
            raise ValueError(
                f'texts: {len(vocabulary)} class texts, but an image has the '
                f'label {labels.max()}; give one text for each class of the '
                f'dataset')
        drawn = self.draw(np.unique(labels), len(vocabulary))
        position = np.full(len(vocabulary), -1)
        position[drawn] = np.arange(len(drawn))
        if len(labels):
            self._renumber(results, position[labels])
        texts = []
        for synonyms in (vocabulary[label] for label in drawn):
            text = synonyms[np.random.randint(len(synonyms))]
            texts.append(self.prompt_format.format(text))
        if self.padding_to_max:
            texts += [self.padding_value] * (self.max_num_samples - len(texts))
        results['texts'] = texts
        return results

    def _renumber(self, results: dict, labels: np.ndarray) -> None:
        """Set new labels and drop the boxes whose label is -1."""
        kept = np.flatnonzero(labels >= 0)
        if len(kept) < len(labels):
            if 'gt_panoptic_seg' in results:
                raise ValueError(
                    'RandomLoadText would drop boxes of classes that are not '
                    'drawn, but their masks are merged into one map '
                    'already; put it before Polygon2Mask')
            for key in self.box_keys:
                if key in results:
                    results[key] = results[key][kept]
        results['gt_bboxes_labels'] = labels[kept]
