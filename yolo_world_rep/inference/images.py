"""An image as an array, from a file, an address or memory."""
from http.client import HTTPException
from typing import Any

import cv2
import numpy as np

from yolo_world_rep.utils.files import require_regular

# For an image that is fetched: seconds without an answer, and bytes.
TIMEOUT = 30
LARGEST = 256 << 20


def read_image(path: Any) -> np.ndarray:
    """Read an image (h, w, 3), uint8, BGR, as mmcv does.

    OpenCV turns it as EXIF says, repeats grey, drops alpha and takes the upper
    eight bits of sixteen. ``ValueError`` if it cannot be read or decoded.
    """
    require_regular(path)
    try:
        data = np.fromfile(str(path), np.uint8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f'{path}: cannot be read ({reason})') from error
    return decode(data, str(path))


def decode(data: np.ndarray, name: str) -> np.ndarray:
    """The image in the bytes of a file, as of :func:`read_image`."""
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # such as more pixels than OpenCV takes
        image = None
    if image is None:
        raise ValueError(f'{name}: not an image that OpenCV can decode')
    return image


def fetch(url: str) -> bytes:
    """The bytes of an image at an address; ``ValueError`` if it has none."""
    from urllib.request import Request, urlopen
    try:
        with urlopen(Request(url, headers={'User-Agent': 'yolo_world_rep'}),
                     timeout=TIMEOUT) as answer:
            data = answer.read(LARGEST + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(f'{url}: cannot be fetched ({error}). Expected the '
                         f'address of an image.') from error
    if len(data) > LARGEST:
        raise ValueError(f'{url}: more than {LARGEST >> 20} MiB; expected the '
                         f'address of an image.')
    return data


def _of_tensor(tensor: Any) -> np.ndarray:
    """A tensor (3, h, w) as torchvision has them, as an array in BGR."""
    values = tensor.detach().cpu().numpy()
    if values.ndim != 3 or values.shape[0] != 3 or (
            values.dtype != np.uint8 and not (
                values.dtype.kind == 'f' and values.min() >= 0
                and values.max() <= 1)):
        raise ValueError(
            f'a tensor of shape {tuple(values.shape)} and type '
            f'{values.dtype} is not an image; expected (3, height, width), '
            f'RGB, uint8 of 0 to 255 or floats of 0 to 1.')
    if values.dtype != np.uint8:
        values = (values * 255).round().astype(np.uint8)
    return values.transpose(1, 2, 0)[..., ::-1]


def as_bgr(image: Any) -> np.ndarray:
    """Pixels in memory as :func:`read_image` would give them.

    From an array (h, w), (h, w, 1), (h, w, 3) BGR or (h, w, 4) BGRA of uint8
    or uint16; an image of Pillow, which is turned as its EXIF data say; the
    bytes of a file; or a tensor (3, h, w) in RGB, uint8 or floats of 0 to 1.
    """
    if isinstance(image, bytes):
        return decode(np.frombuffer(image, np.uint8), 'image in memory')
    if hasattr(image, 'detach'):
        image = _of_tensor(image)
    if not isinstance(image, np.ndarray):
        from PIL import Image, ImageOps
        if not isinstance(image, Image.Image):
            raise ValueError(
                f'an image is a path, an address, bytes, a NumPy array, a '
                f'tensor or an image of Pillow; got a '
                f'{type(image).__name__}.')
        # An older Pillow has 32 bits for the 16 of a PNG.
        deep = image.mode.startswith('I;16') or (
            image.mode == 'I' and image.format == 'PNG')
        if (image.mode in ('I', 'F') and not deep) or not all(image.size):
            raise ValueError(
                f'an image of Pillow of mode {image.mode!r} and size '
                f'{image.size}: what is black and what is white is unknown. '
                f'Expected 8 or 16 bits, such as mode RGB.')
        try:
            image = ImageOps.exif_transpose(image)
            if deep:
                return as_bgr(np.asarray(image).astype(np.uint16))
            pixels = np.asarray(image.convert('RGB'))
        except Exception as error:  # it is read here, from a broken file
            raise ValueError(f'an image of Pillow cannot be read: '
                             f'{error}') from error
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or (
            not image.size or image.dtype not in (np.uint8, np.uint16)):
        raise ValueError(
            f'an array of shape {image.shape} and type {image.dtype} is not '
            f'an image; expected (height, width, 3), uint8, BGR.')
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if channels == 1:
        return cv2.cvtColor(
            image.reshape(image.shape[:2]), cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(image[..., :3])
