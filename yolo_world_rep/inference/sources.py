"""Images from files, folders, patterns, videos, lists and memory."""
import glob
from pathlib import Path
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, TextIO

import cv2
import numpy as np

IMAGES = ('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.webp', '.tif', '.tiff',
          '.ppm', '.pgm', '.pbm', '.jp2')
VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg',
          '.wmv')
STDIN = '-'


class Item(NamedTuple):
    """An image to come.

    Args:
        path (Path, optional): Its file, or that of its video.
        image (Any): Pixels that are in memory already; None to read them.
        frame (int, optional): Its number in the video, from 0.
        index (int): Its place among all the images, from 0.
    """
    path: Optional[Path] = None
    image: Any = None
    frame: Optional[int] = None
    index: int = 0  # type: ignore[assignment]  # hides tuple.index

    @property
    def name(self) -> str:
        """For messages."""
        frame = '' if self.frame is None else f', frame {self.frame}'
        return f'{self.path or "image in memory"}{frame}'


def read_image(path: Any) -> np.ndarray:
    """Read an image as mmcv does for training and testing.

    OpenCV decodes: turned as EXIF says, three channels (grey is repeated,
    alpha dropped), eight bits (of sixteen the upper ones).

    Args:
        path (str | Path): The file.

    Returns:
        np.ndarray: (h, w, 3), uint8, BGR.

    Raises:
        ValueError: If it cannot be read or decoded.
    """
    try:
        data = np.fromfile(str(path), np.uint8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f'{path}: cannot be read ({reason})') from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # such as more pixels than OpenCV takes
        image = None
    if image is None:
        raise ValueError(f'{path}: not an image that OpenCV can decode')
    return image


def as_bgr(image: Any) -> np.ndarray:
    """Pixels in memory as :func:`read_image` would give them.

    Args:
        image (np.ndarray | PIL.Image.Image): An array (h, w), (h, w, 1),
            (h, w, 3) BGR or (h, w, 4) BGRA of uint8 or uint16; or an image
            of Pillow, which is turned as its EXIF data say.

    Raises:
        ValueError: If it is anything else.
    """
    if not isinstance(image, np.ndarray):
        from PIL import Image, ImageOps
        if not isinstance(image, Image.Image):
            raise ValueError(
                f'an image is a path, a NumPy array or an image of Pillow; '
                f'got a {type(image).__name__}.')
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
            f'an array of shape {image.shape} and type {image.dtype} is no '
            f'image; expected (height, width, 3), uint8, BGR.')
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if channels == 1:
        return cv2.cvtColor(image.reshape(image.shape[:2]),
                            cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(image[..., :3])


def load(item: Item) -> np.ndarray:
    """The pixels of an item, (h, w, 3), uint8, BGR."""
    return read_image(item.path) if item.image is None else as_bgr(item.image)


def _files_of(source: str) -> List[Path]:
    """The files that a path or pattern stands for.

    Raises:
        ValueError: If there are none.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir()
            if file.suffix.lower() in IMAGES and file.is_file())
        if not files:
            raise ValueError(f'source {source}: no images in this folder; '
                             f'expected {", ".join(IMAGES)}.')
        return files
    if path.exists():
        return [path]
    found = sorted(glob.glob(source, recursive=True))
    files = [Path(name) for name in found if Path(name).is_file()]
    if not files:
        raise ValueError(f'source {source}: no such file, folder or '
                         f'pattern with matches.')
    return files


def find_files(sources: Iterable[str],
               stdin: Optional[TextIO] = None) -> List[Path]:
    """The images and videos that a command's arguments stand for.

    Args:
        sources (Iterable[str]): Files, folders (the images in them, not in
            folders below), patterns (``**`` goes below), or ``-`` for a
            list of files, one a line, on ``stdin``.
        stdin (TextIO, optional): What ``-`` reads.

    Returns:
        list[Path]: In the order given, sorted within folders and patterns.
        Files on the list need not exist.

    Raises:
        ValueError: If there is nothing where a source points to.
    """
    files: List[Path] = []
    for source in sources:
        if source != STDIN:
            files += _files_of(source)
            continue
        lines = [line.rstrip('\r\n') for line in stdin or ()]
        listed = [Path(line) for line in lines if line.strip()]
        if not listed:
            raise ValueError('source -: no paths on standard input; '
                             'expected one a line.')
        files += listed
    return files


def is_video(path: Any) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def frames(path: Path) -> Iterator[Item]:
    """The frames of a video.

    Raises:
        ValueError: If it cannot be opened, or has none.
    """
    video = cv2.VideoCapture(str(path))
    number = 0
    try:
        while True:
            there, image = video.read()
            if not there:
                break
            yield Item(path, image, number)
            number += 1
    finally:
        video.release()
    if not number:
        raise ValueError(f'{path}: not a video that OpenCV can decode')


def count_images(files: Iterable[Path]) -> Optional[int]:
    """How many images there will be, None where a video does not tell."""
    total = 0
    for path in files:
        if not is_video(path):
            total += 1
            continue
        video = cv2.VideoCapture(str(path))
        length = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        video.release()
        if length <= 0:
            return None
        total += length
    return total
