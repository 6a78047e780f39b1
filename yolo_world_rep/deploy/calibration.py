"""Images that show a quantizer what values to expect."""
from pathlib import Path
from typing import Iterator, List, Sequence

import numpy as np

from yolo_world_rep.inference.letterbox import Preprocess
from yolo_world_rep.inference.sources import (
    find_files,
    is_video,
    read_image,
)
from yolo_world_rep.inference.spec import Spec

DEFAULT_COUNT = 128


def choose_images(sources: Sequence[str],
                  count: int = DEFAULT_COUNT) -> List[Path]:
    """Some of the images that a command's arguments stand for.

    Args:
        sources (Sequence[str]): Files, folders and patterns, as of
            :func:`yolo_world_rep.inference.sources.find_files`.
        count (int): How many, at most; they are taken at equal distances.
            Defaults to 128.

    Raises:
        ValueError: If there are none, or videos.
    """
    if count < 1:
        raise ValueError(f'--calibration-count {count}: expected 1 or more.')
    files = find_files(sources)
    videos = [str(path) for path in files if is_video(path)]
    if videos:
        raise ValueError(f'--calibration {videos[0]}: a video; expected '
                         f'images, such as some of its frames.')
    places = np.linspace(0, len(files) - 1, min(count, len(files)))
    return [files[int(round(place))] for place in places]


class CalibrationImages:
    """Inputs of a model made of images as a prediction makes them.

    Iterating reads them anew, so that few are in memory at a time.

    Args:
        paths (Sequence[Path]): The images.
        spec (Spec): What the model takes. Batches of a fixed size are
            filled up with the last image.
    """

    def __init__(self, paths: Sequence[Path], spec: Spec) -> None:
        assert paths
        self.paths = list(paths)
        self.preprocess = Preprocess(spec)
        self.batch = spec.batch or 1

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.paths) // self.batch)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Batches, (B, 3, H, W), float32."""
        for start in range(0, len(self.paths), self.batch):
            chosen = self.paths[start:start + self.batch]
            chosen += chosen[-1:] * (self.batch - len(chosen))
            yield np.stack(
                [self.preprocess(read_image(path))[0] for path in chosen])
