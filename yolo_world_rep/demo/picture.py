"""Detections of several models side by side, checked against the truth."""
import json
from pathlib import Path
from typing import Collection, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from mmdet.structures import DetDataSample

from ..inference.drawing import Mark
from ..report import figures
from ..report.mistakes import picture_of
from ..utils.files import PathLike, atomic_path


class Truth(NamedTuple):
    """What is in an image: boxes (K, 4), x1, y1, x2, y2, and names."""
    path: Path
    boxes: np.ndarray
    names: List[str]


def load_truth(annotation_file: PathLike) -> Dict[int, Truth]:
    """The objects of each image of a COCO file, by image id."""
    path = Path(annotation_file)
    coco = json.loads(path.read_text(encoding='utf-8'))
    names = {c['id']: c['name'] for c in coco['categories']}
    truths = {}
    for image in coco['images']:
        inside = [each for each in coco['annotations']
                  if each['image_id'] == image['id']]
        boxes = np.reshape([each['bbox'] for each in inside], (-1, 4))
        truths[image['id']] = Truth(
            path.parent / image['file_name'],
            np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
            [names[each['category_id']] for each in inside])
    return truths


def judge(sample: DetDataSample, truth: Truth, names: Sequence[str],
          starred: Collection[str] = ()) -> List[Mark]:
    """Compare the best detections in each place with an image's objects."""
    labels = [names.index(name) for name in truth.names]
    return figures.judge(
        picture_of(truth.path, truth.boxes, labels,
                   sample.pred_instances.cpu(), one_in_place=True),
        [f'{name}*' if name in starred else name for name in names])


def choose_images(truths: Dict[int, Truth], names: Collection[str],
                  number: int) -> List[int]:

    def wanted(image_id: int) -> Tuple[int, int]:
        present = [name in names for name in truths[image_id].names]
        return -sum(present), image_id

    return sorted(truths, key=wanted)[:number]


def draw(path: PathLike, columns: Dict[str, Dict[int, List[Mark]]],
         truths: Dict[int, Truth]) -> None:
    """Draw images in rows and models, by their titles, in columns of a PNG."""
    images = list(next(iter(columns.values())))
    figure = figures.new_figure(4.6 * len(columns), 4.6 * len(images) + 0.9)
    axes = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, marks) in enumerate(columns.items()):
        everything = [mark for image in images for mark in marks[image]]
        axes[0][column].set_title(f'{title}\n{figures.count(everything)}')
        for row, image in enumerate(images):
            axis = axes[row][column]
            axis.set_axis_off()
            axis.imshow(figures.draw_judged(
                truths[image].path, marks[image])[..., ::-1])
    figure.supxlabel(
        f'{figures.LEGEND} * a pair of colour and shape that the '
        f'text-conditioned model was never shown', fontsize=9)
    with atomic_path(path) as temporary:
        figures.save_figure(figure, temporary)
