"""Images from files, folders, patterns, videos, lists and memory."""
import glob
import logging
import os
from pathlib import Path
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, TextIO

import cv2
import numpy as np

from yolo_world_rep.utils.files import IMAGES, is_text, require_regular
from yolo_world_rep.utils.log import log
from yolo_world_rep.utils.wording import some

from .images import as_bgr, fetch, read_image

VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg',
          '.wmv')
LABELS = ('.txt', '.json', '.xml', '.csv', '.yaml', '.yml', '.md')
STDIN = '-'
ADDRESSES = ('http://', 'https://')
# Containers whose header says how long a video is; and of these, how many
# frames it has. Others are measured in time, with sound that may last longer.
TIMED = ('.mp4', '.m4v', '.mov', '.avi', '.wmv')
COUNTED = ('.mp4', '.m4v', '.mov', '.avi')
# Frames a second of no camera, but of a clock in a header.
CLOCK = 240


class Item(NamedTuple):
    """An image to come: a file, pixels in memory, or a frame of a video."""
    path: Optional[Path] = None
    image: Any = None
    frame: Optional[int] = None  # its number in the video
    index: int = 0  # type: ignore[assignment]  # hides tuple.index

    @property
    def name(self) -> str:
        frame = '' if self.frame is None else f', frame {self.frame}'
        return f'{self.path or "image in memory"}{frame}'


def load(item: Item) -> np.ndarray:
    """The pixels of an item, (h, w, 3), uint8, BGR."""
    return read_image(item.path) if item.image is None else as_bgr(item.image)


def _files_of(source: str) -> List[Path]:
    """The files that match a path or pattern, at least one."""
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir()
                       if file.suffix.lower() in IMAGES and file.is_file())
        if not files:
            raise ValueError(f'source {source}: no images in this folder; '
                             f'expected {", ".join(IMAGES)}.')
        others = {file.suffix.lower() for file in path.iterdir()
                  if file.suffix and file.name[0] != '.' and file.is_file()}
        others.difference_update(IMAGES, LABELS)
        if others:
            log(f'source {source}: files that end in {some(sorted(others))} '
                f'are not read; give each by its name.', logging.WARNING)
        return files
    if os.path.exists(path):
        return [require_regular(path)]
    files = [Path(name) for name in sorted(glob.glob(source, recursive=True))
             if os.path.isfile(name)]
    if not files:
        raise ValueError(f'source {source}: no such file, folder or '
                         f'pattern with matches.')
    return files


def _listed(line: str, number: int) -> Path:
    """The file on a line of a list; it need not exist."""
    if not os.path.exists(line) and ('://' in line or not is_text(line)):
        problem = 'is a URL' if '://' in line else 'is not UTF-8'
        raise ValueError(f'source -: line {number}, {line!r}, {problem}; '
                         f'expected the path of a file.')
    return require_regular(line)


def find_files(sources: Iterable[str],
               stdin: Optional[TextIO] = None) -> List[Path]:
    """The images and videos that a command's arguments stand for.

    A source is a file, a folder (the images in it, not in folders below), a
    pattern (``**`` goes below), or ``-`` for a list of files on ``stdin``, one
    a line, which need not exist.
    """
    files: List[Path] = []
    for source in sources:
        if source != STDIN:
            files += _files_of(source)
            continue
        listed = [_listed(line.rstrip('\r\n'), number)
                  for number, line in enumerate(stdin or (), 1)
                  if line.strip()]
        if not listed:
            raise ValueError('source -: no paths on standard input; '
                             'expected one a line.')
        files += listed
    return files


def is_one(source: Any) -> bool:
    """Whether a source is one image, and not a folder, a video or a list."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        return name.startswith(ADDRESSES) or (
            os.path.isfile(name) and not is_video(name))
    if hasattr(source, 'ndim'):  # an array or a tensor
        return source.ndim < 4
    return isinstance(source, (bytes, Item)) or not isinstance(
        source, Iterable)


def images_of(source: Any, color: Optional[str] = None) -> Iterator[Any]:
    """The images and videos in a source of any kind.

    ``source`` is what :func:`find_files` takes, an address, what
    :func:`~.images.as_bgr` takes, several of these in an array or tensor of
    four axes, or an iterable of sources. ``color`` is the order of the
    channels, 'bgr' or 'rgb'; None for BGR of arrays and RGB of tensors.
    """
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        if name.startswith(ADDRESSES):
            yield Item(image=fetch(name))
        else:
            yield from _files_of(name)
    elif not is_one(source):
        for each in source:
            yield from images_of(each, color)
    elif color == 'rgb' and isinstance(source, np.ndarray) and (
            source.ndim == 3):
        yield source[..., 2::-1]
    elif color == 'bgr' and hasattr(source, 'detach'):
        yield source.flip(0)
    else:
        yield source


def is_video(path: Any) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def _open_video(path: Path) -> Any:
    """OpenCV's reader; of a file alone, since a name may be an address."""
    return cv2.VideoCapture(os.path.abspath(require_regular(path)))


def lost_frames(suffix: str, count: float, rate: float,
                times: List[float]) -> int:
    """How many frames of a video were not read; -1 if the header should tell.

    ``count`` and ``rate`` (frames a second) are those of the header, ``times``
    (ms) of what was read. The header is right where there are gaps between the
    times, or time is left behind the last one.
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
    """The frames of a video; raises after them if some could not be read."""
    video = _open_video(path)
    times: List[float] = []
    try:
        count = video.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = video.get(cv2.CAP_PROP_FPS)
        while (image := video.read()[1]) is not None:
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
    """How many images there will be, None if a video does not say."""
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
