"""Calibration images for a quantizer."""
from pathlib import Path
from typing import Iterator, List, Sequence

import numpy as np

from yolo_world_rep.inference.images import read_image
from yolo_world_rep.inference.letterbox import Preprocess
from yolo_world_rep.inference.sources import find_files, is_video
from yolo_world_rep.inference.spec import Spec

DEFAULT_COUNT = 128


def choose_images(sources: Sequence[str],
                  count: int = DEFAULT_COUNT) -> List[Path]:
    """At most ``count`` images of files, folders, patterns, evenly spread."""
    if count < 1:
        raise ValueError(f'`calibration_count` is {count}: expected 1 or '
                         f'more.')
    files = find_files(sources)
    videos = [str(path) for path in files if is_video(path)]
    if videos:
        raise ValueError(f'{videos[0]} is a video; expected images, such as '
                         f'some of its frames.')
    places = np.linspace(0, len(files) - 1, min(count, len(files)))
    return [files[int(round(place))] for place in places]


class CalibrationImages:
    """Batches (B, 3, H, W) of a model's inputs, prepared as for a prediction.

    Each pass reads the images again, so that few are in memory at a time. The
    last batch of a fixed size is filled up with its last image.
    """

    def __init__(self, paths: Sequence[Path], spec: Spec) -> None:
        assert paths
        self.paths = list(paths)
        self.preprocess = Preprocess(spec)
        self.batch = spec.batch or 1

    def __len__(self) -> int:
        return -(-len(self.paths) // self.batch)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.paths), self.batch):
            chosen = self.paths[start:start + self.batch]
            chosen += chosen[-1:] * (self.batch - len(chosen))
            yield np.stack(
                [self.preprocess(read_image(path))[0] for path in chosen])
