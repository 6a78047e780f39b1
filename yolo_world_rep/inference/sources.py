"""Images from files, folders, patterns, videos, lists and memory."""
import glob
import os
from pathlib import Path
from typing import (
    Any,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    TextIO,
)

import cv2
import numpy as np

from yolo_world_rep.utils.files import is_text, require_regular

IMAGES = ('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.webp', '.tif', '.tiff',
          '.ppm', '.pgm', '.pbm', '.jp2')
VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg',
          '.wmv')
STDIN = '-'
# Containers whose header says how long a video is; and of these, how many
# frames it has. Others are measured in time, with sound that may last longer.
TIMED = ('.mp4', '.m4v', '.mov', '.avi', '.wmv')
COUNTED = ('.mp4', '.m4v', '.mov', '.avi')
# Frames a second of no camera, but of a clock in a header.
CLOCK = 240


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
    require_regular(path)
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
    if os.path.exists(path):
        return [require_regular(path)]
    found = sorted(glob.glob(source, recursive=True))
    files = [Path(name) for name in found if Path(name).is_file()]
    if not files:
        raise ValueError(f'source {source}: no such file, folder or '
                         f'pattern with matches.')
    return files


def _listed(line: str, number: int) -> Path:
    """The file on a line of a list; it need not exist."""
    if not os.path.exists(line):
        for odd, problem in (('://' in line, 'is a URL'),
                             (not is_text(line), 'is not UTF-8')):
            if odd:
                raise ValueError(f'source -: line {number}, {line!r}, '
                                 f'{problem}; expected the path of a file.')
    return require_regular(line)


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
        ValueError: If there is nothing where a source points to, or a line
            is no name of a file.
    """
    files: List[Path] = []
    for source in sources:
        if source != STDIN:
            files += _files_of(source)
            continue
        lines = [line.rstrip('\r\n') for line in stdin or ()]
        listed = [_listed(line, number) for number, line in enumerate(lines, 1)
                  if line.strip()]
        if not listed:
            raise ValueError('source -: no paths on standard input; '
                             'expected one a line.')
        files += listed
    return files


def is_video(path: Any) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def _open_video(path: Path) -> Any:
    """OpenCV's reader; of a file alone, since a name may be an address."""
    return cv2.VideoCapture(os.path.abspath(require_regular(path)))


def lost_frames(suffix: str, count: float, rate: float,
                times: Sequence[float]) -> int:
    """How many frames a video should have more than were read.

    Those of a header are right where there are gaps between the times of
    the frames, or time is left behind the last one.

    Args:
        suffix (str): The ending of the file.
        count (float): Frames, of the header or of its duration.
        rate (float): Frames a second, of the header.
        times (Sequence[float]): Of the frames that were read, in ms.

    Returns:
        int: The number, 0 of a whole video, -1 if the header should say it
        and does not.
    """
    if count <= 0 or rate <= 0:
        return -1 if suffix in TIMED else 0
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps) and rate > CLOCK:
        return 0
    step = float(np.median(steps)) if len(steps) else 1000 / rate
    length = 1000 * count / rate
    lost = round(min(count, length / step)) - len(times)
    gaps = np.round(steps / step - 1).clip(0).sum()
    left = length - max(times[-1], step * (len(times) - 1)) - step
    slack = step / 2 if suffix in COUNTED else max(5 * step, length / 50)
    return lost if lost > 0 and (gaps or left > slack) else 0


def frames(path: Path) -> Iterator[Item]:
    """The frames of a video.

    Raises:
        ValueError: If it cannot be opened, or has none; after the frames
            that could be read, if some could not.
    """
    video = _open_video(path)
    times = []
    try:
        count, rate = (video.get(each) for each in (
            cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        while True:
            there, image = video.read()
            if not there:
                break
            times.append(video.get(cv2.CAP_PROP_POS_MSEC))
            yield Item(path, image, len(times) - 1)
    finally:
        video.release()
    if not times:
        raise ValueError(f'{path}: not a video that OpenCV can decode')
    lost = lost_frames(path.suffix.lower(), count, rate, times)
    if lost:
        total = f' of {len(times) + lost}' if lost > 0 else ''
        raise ValueError(
            f'{path}: {len(times)}{total} frames could be read: the video is '
            f'damaged or cut off, and frames behind a gap have numbers that '
            f'are too low. Get the file again.')


def count_images(files: Iterable[Path]) -> Optional[int]:
    """How many images there will be, None where a video does not tell."""
    total = 0
    for path in files:
        if not is_video(path):
            total += 1
            continue
        video = _open_video(path)
        length = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        video.release()
        if length <= 0:
            return None
        total += length
    return total
