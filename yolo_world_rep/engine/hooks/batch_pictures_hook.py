"""Pictures of the first batches, as training sees them."""
import logging
from math import ceil
from pathlib import Path
from typing import Any, Optional, Sequence

import cv2
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from ...registry import register
from ...utils.files import atomic_path
from ...utils.log import log
from .class_names_hook import data_sets

SIDE = 1920  # of a picture, in pixels, at most


def batch_picture(batch: dict, names: Sequence[str]) -> np.ndarray:
    """A square of a collated batch's first 16 images; (h, w, 3), BGR."""
    from ...inference.drawing import draw_boxes
    images = batch['inputs'][:16]
    rows = batch['data_samples']['bboxes_labels'].cpu().numpy()
    texts = batch['data_samples'].get('texts')
    columns = ceil(len(images) ** 0.5)
    side = max(max(image.shape) for image in images)
    scale = min(1, SIDE / columns / side)
    side = round(side * scale)
    tiles = np.full((columns * columns, side, side, 3), 114, np.uint8)
    for index, image in enumerate(images):
        own = rows[rows[:, 0] == index]
        small = draw_boxes(
            cv2.resize(image.permute(1, 2, 0).byte().cpu().numpy(), None,
                       fx=scale, fy=scale), own[:, 2:] * scale,
            own[:, 1].astype(int).tolist(), texts[index] if texts else names)
        tiles[index, :small.shape[0], :small.shape[1]] = small
    return np.concatenate([np.concatenate(list(row), 1) for row in
                           tiles.reshape(-1, columns, *tiles.shape[1:])])


@register(HOOKS)
class BatchPicturesHook(Hook):
    """Write pictures of the first batches, as training sees them.

    The main process writes ``WORK_DIR/batches/0.jpg``, ...: up to 16 images,
    augmented, with boxes and names. One that fails is logged and does not
    affect the training; a training that is resumed writes none.

    Args:
        batches (int): Batches to draw. Defaults to 3.
    """

    def __init__(self, batches: int = 3) -> None:
        self.batches = batches

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Optional[Any] = None) -> None:
        """Draw the batch, if it is one of the first."""
        if runner.iter >= self.batches or not is_main_process():
            return
        path = Path(runner.work_dir) / 'batches' / f'{runner.iter}.jpg'
        try:
            names, = [names or () for name, _, names in data_sets(runner)
                      if name == 'train']
            picture = cv2.imencode('.jpg', batch_picture(data_batch, names))[1]
            path.parent.mkdir(exist_ok=True)
            with atomic_path(path) as temporary:
                temporary.write_bytes(picture.tobytes())
        except Exception as error:  # the training must not be lost by it
            log(f'{path} could not be written ({error}).', logging.WARNING)
