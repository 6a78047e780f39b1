"""Images from files, with errors that name the file."""
import logging
import multiprocessing
import random
from typing import Any, Dict, Optional, Set, Tuple
from weakref import WeakKeyDictionary

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmyolo.registry import TRANSFORMS

from ...registry import register
from ...utils.log import log

# Files that this process has left out.
_skipped: Set[str] = set()
# Decoded images that it keeps of each data set, by their index.
kept_images: 'WeakKeyDictionary[Any, Dict[int, np.ndarray]]' = (
    WeakKeyDictionary())


class UnreadableImageError(ValueError):
    """A file of the data set is not an image."""


@register(TRANSFORMS)
class LoadCheckedImageFromFile(LoadImageFromFile):
    """mmcv's LoadImageFromFile, whose errors name the file.

    The launcher replaces mmcv's with it in every config. Results are mmcv's,
    and arguments but for the one below. With ``ignore_empty=True`` another
    image of the data set is drawn in place of an unreadable one (mmyolo's
    mosaic and mixup cannot go on without), and each process logs every such
    file once and how many there were.

    Args:
        cache (int): MiB of decoded images that a process keeps of a data set
            for training, the newest; :class:`FastMosaic` draws from them.
            Defaults to 0, none.

    Raises:
        UnreadableImageError: If the file is missing, empty, truncated or no
            image, unless ``ignore_empty``; with it, if many in turn are.
    """

    #: Unreadable images in turn that end a training all the same.
    max_redraws = 100

    def __init__(self, *args: Any, cache: int = 0, **more: Any) -> None:
        super().__init__(*args, **more)
        self.cache = cache

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']`` as mmcv does."""
        image, reason = self._read(results)
        dataset = results.get('dataset')
        for _ in range(self.max_redraws):
            if image is not None:
                break
            self._leave_out(results['img_path'], reason)
            if dataset is None:
                return None  # the data set draws another one itself
            results.clear()
            results.update(
                dataset.get_data_info(random.randrange(len(dataset))),
                dataset=dataset)
            image, reason = self._read(results)
        else:
            raise UnreadableImageError(
                f'{self.max_redraws} images in turn cannot be read, the last '
                f'one is {results["img_path"]}: {reason}.')
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _read(self, results: dict) -> Tuple[Optional[np.ndarray], str]:
        """The image, or None and the reason."""
        dataset, index = results.get('dataset'), results.get('sample_idx')
        if not self.cache or dataset is None:
            return self._decode(results['img_path'])
        kept = kept_images.setdefault(dataset, {})
        if index in kept:
            return kept[index].copy(), ''
        image, reason = self._decode(results['img_path'])
        if image is not None:
            kept[index] = image.copy()  # what follows may change its own
            while sum(x.nbytes for x in kept.values()) > self.cache * 2**20:
                del kept[next(iter(kept))]
        return image, reason

    def _decode(self, path: str) -> Tuple[Optional[np.ndarray], str]:
        try:
            if self.file_client_args is not None:
                data = fileio.FileClient.infer_client(self.file_client_args,
                                                      path).get(path)
            else:
                data = fileio.get(path, backend_args=self.backend_args)
            if not data:
                return None, 'the file is empty'
            image = mmcv.imfrombytes(
                data, flag=self.color_type, backend=self.imdecode_backend)
            return image, 'it cannot be decoded as an image'
        except Exception as error:
            # Decoders raise errors of their own; none names the file.
            return None, getattr(error, 'strerror', None) or str(error)

    def _leave_out(self, path: str, reason: str) -> None:
        if not self.ignore_empty:
            raise UnreadableImageError(
                f'Image {path}: {reason}. Repair the file or take it out of '
                f'the annotations; yolo-world-rep train --skip-unreadable '
                f'trains without such images.')
        if path not in _skipped:
            _skipped.add(path)
            log(f'Left out image {path}: {reason}. '
                f'{multiprocessing.current_process().name} has left out '
                f'{len(_skipped)} file(s) so far.', logging.WARNING)
