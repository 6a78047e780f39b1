"""Datasets whose images carry the texts of the classes."""
from typing import Callable, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset, Compose
from mmyolo.registry import DATASETS

from ..registry import register
from ..text import class_names, load_class_texts


@register(DATASETS)
class MultiModalDataset:
    """Add class texts to the images of a detection dataset.

    The texts travel through the pipeline as ``texts``: one list of
    synonyms a class, in the order of the dataset's labels. ``LoadText`` or
    ``RandomLoadText`` choose from them what the model is asked for.

    Whether images are mixed (mosaic, mixup) is the wrapped dataset's
    choice: unless *it* is in test mode, its images carry a reference to
    this dataset, as those transforms need.

    Args:
        dataset (dict | BaseDataset): The detection dataset, with an empty
            pipeline.
        class_text_path (str, optional): JSON file of the class texts, one
            entry per class. Defaults to None for those of the wrapped dataset.
            Defaults to None.
        test_mode (bool): If False, images keep the reference even if the
            wrapped dataset is in test mode. Defaults to True.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        lazy_init (bool): Whether to load the annotations later. Defaults to
            False.

    Raises:
        ValueError: If the class texts cannot be read, or are not those of
            the dataset's classes.
    """

    #: Attempts at another image when the pipeline gives none.
    max_refetch = 1000

    def __init__(self, dataset: Union[dict, BaseDataset],
                 class_text_path: Optional[str] = None, test_mode: bool = True,
                 pipeline: Sequence[Union[dict, Callable]] = (),
                 lazy_init: bool = False) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if not hasattr(dataset, 'get_data_info'):
            raise ValueError(
                f'dataset={dataset!r}: expected the config of a detection '
                f'dataset or such a dataset')
        self.dataset = dataset
        self.class_texts = None
        if class_text_path is not None:
            self.class_texts = load_class_texts(class_text_path)
            self._check_texts(class_text_path)
        self.test_mode = test_mode
        self.mixes_images = not (
            test_mode and getattr(dataset, 'test_mode', False))
        self.pipeline = Compose(pipeline)
        if not lazy_init:
            self.full_init()

    def _check_texts(self, path: str) -> None:
        names = class_names(self.class_texts)
        classes = self.dataset.metainfo.get('classes')
        if classes is None:
            raise ValueError(
                f'class_text_path={path!r}: the dataset names no classes '
                f'that the texts could belong to; give it '
                f'metainfo=dict(classes=...)')
        if len(names) != len(classes):
            raise ValueError(
                f'class_text_path={path!r}: {len(names)} class texts for '
                f'the {len(classes)} classes of the dataset; give one entry '
                f'per class in the order of metainfo["classes"]')
        if names != tuple(classes) and sorted(names) == sorted(classes):
            index = [a == b for a, b in zip(names, classes)].index(False)
            raise ValueError(
                f'class_text_path={path!r}: the same names as the '
                f'dataset\'s classes in another order: text {index} is '
                f'{names[index]!r}, class {index} is {classes[index]!r}; '
                f'bring the texts into the order of metainfo["classes"]')

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset, its classes included."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations, unless they are loaded already."""
        self.dataset.full_init()

    def get_cat_ids(self, idx: int) -> list:
        """Labels of the objects in an image."""
        return self.dataset.get_cat_ids(idx)

    def get_data_info(self, idx: int) -> dict:
        """Annotation of an image, with the texts of the classes."""
        info = self.dataset.get_data_info(idx)
        if self.class_texts is not None:
            info['texts'] = self.class_texts
        return info

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        for _ in range(self.max_refetch + 1):
            info = self.get_data_info(idx)
            if self.mixes_images:
                info['dataset'] = self
            data = self.pipeline(info)
            if data is not None:
                return data
            if not self.mixes_images:
                raise RuntimeError(
                    f'the pipeline gives nothing for image {idx} '
                    f'({info.get("img_path")}); a pipeline for testing must '
                    f'not drop images')
            idx = np.random.randint(len(self))
        raise RuntimeError(
            f'the pipeline gave nothing for {self.max_refetch} images in '
            f'turn; check the paths of the images and the filters')


@register(DATASETS)
class MultiModalMixedDataset(MultiModalDataset):
    """:class:`MultiModalDataset` for training on mixed kinds of data.

    Its images carry ``is_detection``: 1 where the annotations are
    complete, so that whatever is not annotated is background, 0 where the
    boxes are those of phrases in a caption.

    Args:
        dataset (dict | BaseDataset): The wrapped dataset.
        class_text_path (str, optional): JSON file of the class texts.
            Defaults to None.
        dataset_type (str): ``'detection'`` or anything else, such as
            ``'grounding'``. Defaults to ``'detection'``.
        test_mode (bool): As in :class:`MultiModalDataset`.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        lazy_init (bool): Whether to load the annotations later. Defaults to
            False.
    """

    def __init__(self, dataset: Union[dict, BaseDataset],
                 class_text_path: Optional[str] = None,
                 dataset_type: str = 'detection', test_mode: bool = True,
                 pipeline: Sequence[Union[dict, Callable]] = (),
                 lazy_init: bool = False) -> None:
        self.dataset_type = dataset_type
        super().__init__(dataset, class_text_path, test_mode, pipeline,
                         lazy_init)

    def get_data_info(self, idx: int) -> dict:
        """Annotation of an image, with texts and ``is_detection``."""
        info = super().get_data_info(idx)
        info['is_detection'] = int(self.dataset_type == 'detection')
        return info
