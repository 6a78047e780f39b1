"""From coefficients and prototypes to masks in the original image.

The numbers are those of mmyolo's heads with masks, by NumPy and OpenCV.
Masks are kept as COCO's run lengths: 300 of a large image as bitmaps would
take gigabytes.

Shape suffixes: K detections, M coefficients, h and w of the prototypes.
"""
from typing import Any, Dict, Tuple, Union

import cv2
import numpy as np

from .letterbox import Placement


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), without overflow."""
    tail = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, tail) / (1 + tail)


def encode_mask(mask: np.ndarray) -> bytes:
    """The run lengths of a mask (height, width), compressed as COCO's."""
    from pycocotools import mask as coco
    return coco.encode(np.asfortranarray(mask, np.uint8))['counts']


def run_lengths(counts: Union[bytes, str],
                shape: Tuple[int, int]) -> Dict[str, Any]:
    """A mask in pycocotools' format; JSON needs the counts as text."""
    return dict(size=list(shape), counts=counts)


def decode_mask(counts: bytes, shape: Tuple[int, int]) -> np.ndarray:
    """A mask (height, width) of booleans from its run lengths."""
    from pycocotools import mask as coco
    return coco.decode(run_lengths(counts, shape)).astype(bool)


def encoded_masks(coefficients_KM: np.ndarray, prototypes_Mhw: np.ndarray,
                  boxes_K4: np.ndarray, placement: Placement, stride: int,
                  threshold: float) -> np.ndarray:
    """Run lengths (K, ) of the masks of an image's detections.

    Boxes are in pixels of the input, of which a prototype's pixel has
    ``stride``; a mask lies inside its box.
    """
    _, rows, columns = prototypes_Mhw.shape
    height, width = rows * stride, columns * stride
    left, top = placement.pad
    shares = sigmoid(coefficients_KM @ prototypes_Mhw.reshape(
        len(prototypes_Mhw), -1)).astype(np.float32)
    masks = np.empty(len(boxes_K4), object)
    # A pixel is in a box if its number is not less than the one corner and
    # less than the other.
    corners = np.ceil(boxes_K4).clip(0, [width, height] * 2).astype(int)
    for index, (share, (x1, y1, x2, y2)) in enumerate(zip(shares, corners)):
        large = cv2.resize(share.reshape(rows, columns), (width, height))
        inside = np.zeros_like(large)
        inside[y1:y2, x1:x2] = large[y1:y2, x1:x2]
        # As mmyolo does it, which takes off as much behind as before: of
        # an odd padding a line is left.
        inside = inside[top:height - top, left:width - left]
        masks[index] = encode_mask(
            cv2.resize(inside, placement.shape[::-1]) > threshold)
    return masks
