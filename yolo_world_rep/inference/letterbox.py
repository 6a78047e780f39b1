"""From an image to what a detector takes, as mmyolo's test pipeline does it.

OpenCV and NumPy alone: an exported model needs no more.
"""
from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np

from .spec import Spec


class Placement(NamedTuple):
    """Where an image lies in the input: ``input = scale * x + pad``."""
    shape: Tuple[int, int]  # height and width of the image
    scale: Tuple[float, float]  # of x and of y
    pad: Tuple[int, int]  # pixels left of it and above it


def _resized(image: np.ndarray, width: int, height: int,
             interpolation: int) -> np.ndarray:
    if min(width, height) < 1:
        rows, columns = image.shape[:2]
        raise ValueError(f'an image of {columns}x{rows} pixels is nothing any '
                         f'more when it is scaled to the size of the input')
    return cv2.resize(image, (width, height), interpolation=interpolation)


def _keep_ratio(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """YOLOv5KeepRatioResize: the longer side to the longer of ``size``."""
    height, width = image.shape[:2]
    ratio = min(max(size) / max(height, width),
                min(size) / min(height, width))
    if ratio == 1:
        return image
    return _resized(image, int(width * ratio), int(height * ratio),
                    cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)


def letterbox(image: np.ndarray, size: Tuple[int, int],
              resize: str = 'keep_ratio', enlarge: bool = True,
              pad_value: int = 114) -> Tuple[np.ndarray, Placement]:
    """Scale an image (h, w, 3) to fit ``size`` (H, W), and fill up around it.

    Bit for bit what YOLOv5KeepRatioResize and LetterResize of mmyolo do in
    testing. ``ValueError`` if a side would have no pixel left.
    """
    shape = image.shape[:2]
    if resize == 'keep_ratio':
        image = _keep_ratio(image, size)
        enlarge = False
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    if not enlarge:
        ratio = min(ratio, 1.0)
    height, width = int(round(height * ratio)), int(round(width * ratio))
    # mmyolo takes the scale step by step, which rounds differently.
    scale = [after / step * (step / before) for after, step, before in zip(
        (width, height), image.shape[1::-1], shape[::-1])]
    if (height, width) != image.shape[:2]:
        image = _resized(image, width, height, cv2.INTER_LINEAR)
    below, right = size[0] - height, size[1] - width
    top, left = int(round(below // 2 - 0.1)), int(round(right // 2 - 0.1))
    if below or right:
        image = cv2.copyMakeBorder(
            image, top, below - top, left, right - left,
            cv2.BORDER_CONSTANT, value=(pad_value, ) * 3)
    return image, Placement(shape, (scale[0], scale[1]), (left, top))


class Preprocess:
    """Letterbox and normalise images for a model; threads may share it."""

    def __init__(self, spec: Spec,
                 size: Optional[Tuple[int, int]] = None) -> None:
        self.spec = spec
        height, width = size or spec.image_size
        self.size = (height, width)
        self.channels = (2, 1, 0) if spec.channel_order == 'rgb' else (0, 1, 2)
        # A byte has 256 values: a table is exact, and faster than dividing.
        values = np.arange(256, dtype=np.float32)
        self.tables = [(values - np.float32(mean)) / np.float32(std)
                       for mean, std in zip(spec.mean, spec.std)]

    def __call__(self, image: np.ndarray) -> Tuple[np.ndarray, Placement]:
        """An image (h, w, 3), uint8 BGR -> (3, H, W) float32, placement."""
        spec = self.spec
        image, placement = letterbox(image, self.size, spec.resize,
                                     spec.enlarge, spec.pad_value)
        planes = np.empty((3, *image.shape[:2]), np.float32)
        for plane, channel, table in zip(planes, self.channels, self.tables):
            cv2.LUT(cv2.extractChannel(image, channel), table, dst=plane)
        return planes, placement
