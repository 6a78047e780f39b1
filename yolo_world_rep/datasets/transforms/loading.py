"""Images from files, with the file named where there is none in it."""
import logging
import multiprocessing
from typing import Optional, Set

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as _LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log
from mmyolo.registry import TRANSFORMS

from ...registry import register

# Files that this process has left out.
_skipped: Set[str] = set()


class UnreadableImageError(ValueError):
    """A file of the data set is not an image."""


@register(TRANSFORMS)
class LoadImageFromFile(_LoadImageFromFile):
    """mmcv's transform of this name; an unreadable file is named.

    In mmyolo's registry it takes the place of mmcv's, so every config has
    it. Arguments and results are mmcv's. With ``ignore_empty=True`` an
    unreadable image is left out, mixed transforms and data set draw another
    one in its place, and each process logs every file once and how many
    there were.

    Raises:
        UnreadableImageError: If the file is missing, empty, truncated or no
            image, unless ``ignore_empty``.
    """

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']`` as mmcv does."""
        path = results['img_path']
        image, reason = None, 'it cannot be decoded as an image'
        try:
            data = self._bytes(path)
            if data:
                image = mmcv.imfrombytes(
                    data,
                    flag=self.color_type,
                    backend=self.imdecode_backend)
            else:
                reason = 'the file is empty'
        except Exception as error:
            # Decoders raise errors of their own; none names the file.
            reason = getattr(error, 'strerror', None) or str(error) or reason
        if image is None:
            return self._without(path, reason)
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _bytes(self, path: str) -> bytes:
        if self.file_client_args is not None:
            return fileio.FileClient.infer_client(self.file_client_args,
                                                  path).get(path)
        return fileio.get(path, backend_args=self.backend_args)

    def _without(self, path: str, reason: str) -> None:
        if not self.ignore_empty:
            raise UnreadableImageError(
                f'Image {path}: {reason}. Repair the file or take it out of '
                f'the annotations; tools/train.py --skip-unreadable trains '
                f'without such images.')
        if path not in _skipped:
            _skipped.add(path)
            print_log(
                f'Left out image {path}: {reason}. '
                f'{multiprocessing.current_process().name} has left out '
                f'{len(_skipped)} file(s) so far.', 'current',
                logging.WARNING)
