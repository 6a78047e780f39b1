"""Detections of several models side by side, checked against the truth."""
import json
from pathlib import Path
from typing import Collection, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from mmdet.structures import DetDataSample

from ..inference.matching import box_ious, pair_in_turn
from ..inference.postprocess import suppress
from ..report.figures import Mark, count, draw_marks, new_figure, save_figure
from ..utils.files import PathLike, atomic_path

OVERLAP = 0.5  # intersection over union of boxes in one place
COLOURS = dict(right='#7CFC00', wrong='#ff2020', missed='#ffd000')


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
    truths = {
        image['id']: Truth(
            path.parent / image['file_name'], np.zeros((0, 4)), [])
        for image in coco['images']
    }
    for annotation in coco['annotations']:
        truth = truths[annotation['image_id']]
        x, y, width, height = annotation['bbox']
        truths[annotation['image_id']] = truth._replace(
            boxes=np.vstack([truth.boxes, [x, y, x + width, y + height]]),
            names=[*truth.names, names[annotation['category_id']]])
    return truths


def judge(sample: DetDataSample, truth: Truth, names: Sequence[str],
          threshold: float = 0.3, starred: Collection[str] = ()) -> List[Mark]:
    """Compare the confident detections of an image with its objects.

    Of detections that lie on one another only the most confident counts. One
    is right if it overlaps an object of its class, that no other has found, by
    an IoU of 0.5. Detections come by falling score, then missed objects.
    """
    found = sample.pred_instances.cpu().numpy()
    order = np.argsort(-found.scores, kind='stable')
    order = order[found.scores[order] >= threshold]
    # Of whatever class they are.
    order = order[suppress(found.bboxes[order], found.scores[order],
                           np.zeros(len(order)), OVERLAP, len(order))]
    boxes, scores = found.bboxes[order], found.scores[order]
    called = [names[label] for label in found.labels[order]]
    iou = box_ious(boxes, truth.boxes)
    same = np.array(called, str)[:, None] == np.array(truth.names, str)[None]
    taken = dict(
        pair_in_turn(np.where(same & (iou >= OVERLAP), iou, -np.inf)))
    stars = dict.fromkeys(starred, '*')
    return [
        *(Mark(box, f'{name}{stars.get(name, "")} {score:.2f}',
               'right' if i in taken else 'wrong')
          for i, (box, name, score) in enumerate(
              zip(boxes.tolist(), called, scores.tolist()))),
        *(Mark(truth.boxes[i], f'{name}{stars.get(name, "")} missed', 'missed')
          for i, name in enumerate(truth.names) if i not in taken.values())
    ]


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
    figure = new_figure(4.6 * len(columns), 4.6 * len(images) + 0.9)
    axes = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, marks) in enumerate(columns.items()):
        everything = [mark for image in images for mark in marks[image]]
        axes[0][column].set_title(f'{title}\n{count(everything)}')
        for row, image in enumerate(images):
            axis = axes[row][column]
            axis.set_axis_off()
            draw_marks(
                axis, truths[image].path, marks[image], COLOURS, fontsize=7)
    figure.supxlabel(
        'green: right, red: wrong, dotted: missed; * a pair of colour and '
        'shape that the text-conditioned model was never shown', fontsize=9)
    with atomic_path(path) as temporary:
        save_figure(figure, temporary)
