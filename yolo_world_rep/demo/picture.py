"""Detections of several models side by side, checked against the truth."""
import json
from pathlib import Path
from typing import (
    Collection,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
from mmdet.structures import DetDataSample

from ..inference.matching import box_ious, pair_in_turn
from ..inference.postprocess import suppress
from ..utils.files import PathLike, atomic_path

Box = Tuple[float, float, float, float]
OVERLAP = 0.5  # intersection over union of boxes in one place
COLOURS = dict(right='#7CFC00', wrong='#ff2020', missed='#ffd000')


class Truth(NamedTuple):
    """What is in an image.

    Args:
        path (Path): The image.
        boxes (np.ndarray): x1, y1, x2, y2, shape (K, 4).
        names (List[str]): The K names.
    """
    path: Path
    boxes: np.ndarray
    names: List[str]


class Mark(NamedTuple):
    """A box to draw.

    Args:
        box (tuple): x1, y1, x2, y2.
        name (str): Its class.
        score (float, optional): None for an object that was missed.
        verdict (str): ``'right'``, ``'wrong'`` or ``'missed'``.
    """
    box: Box
    name: str
    score: Optional[float]
    verdict: str


def load_truth(annotation_file: PathLike) -> Dict[int, Truth]:
    """The objects of each image of a COCO file, by image id."""
    path = Path(annotation_file)
    coco = json.loads(path.read_text(encoding='utf-8'))
    names = {c['id']: c['name'] for c in coco['categories']}
    truths = {
        image['id']: Truth(path.parent / image['file_name'],
                           np.zeros((0, 4)), [])
        for image in coco['images']
    }
    for annotation in coco['annotations']:
        truth = truths[annotation['image_id']]
        x, y, width, height = annotation['bbox']
        truths[annotation['image_id']] = truth._replace(
            boxes=np.vstack([truth.boxes, [x, y, x + width, y + height]]),
            names=[*truth.names, names[annotation['category_id']]])
    return truths


def judge(sample: DetDataSample,
          truth: Truth,
          names: Sequence[str],
          threshold: float = 0.3) -> List[Mark]:
    """Compare the confident detections of an image with its objects.

    Of detections that lie on one another only the most confident counts.
    A detection is right if an object of its class that no other has found
    overlaps it with an IoU of 0.5.

    Args:
        sample (DetDataSample): Detections.
        truth (Truth): Objects.
        names (Sequence[str]): Names of the labels.
        threshold (float): Least score. Defaults to 0.3.

    Returns:
        List[Mark]: Detections by falling score, then missed objects.
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
    marks = [
        Mark(tuple(box), name, score, 'right' if i in taken else 'wrong')
        for i, (box, name, score) in enumerate(
            zip(boxes.tolist(), called, scores.tolist()))
    ]
    missed = set(range(len(truth.names))) - set(taken.values())
    return marks + [
        Mark(tuple(truth.boxes[i]), truth.names[i], None, 'missed')
        for i in sorted(missed)
    ]


def count(marks: Sequence[Mark]) -> str:
    """``'7 right, 1 wrong, 0 missed'``."""
    verdicts = [mark.verdict for mark in marks]
    return ', '.join(f'{verdicts.count(v)} {v}' for v in COLOURS)


def choose_images(truths: Dict[int, Truth], names: Collection[str],
                  number: int) -> List[int]:
    """The images with most objects of the given classes."""

    def wanted(image_id: int) -> Tuple[int, int]:
        present = [name in names for name in truths[image_id].names]
        return -sum(present), image_id

    return sorted(truths, key=wanted)[:number]


def draw(path: PathLike, columns: Dict[str, Dict[int, List[Mark]]],
         truths: Dict[int, Truth], starred: Collection[str]) -> None:
    """Draw images in rows and models in columns.

    Args:
        path (str | Path): The picture to write, a ``.png``.
        columns (dict): Title of a column -> image id -> marks.
        truths (dict): Image id -> truth.
        starred (Collection[str]): Names that get a star.
    """
    import cv2
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    images = list(next(iter(columns.values())))
    figure = Figure(
        figsize=(4.6 * len(columns), 4.6 * len(images) + 0.9),
        layout='constrained')
    axes = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, marks) in enumerate(columns.items()):
        everything = [mark for image in images for mark in marks[image]]
        axes[0][column].set_title(f'{title}\n{count(everything)}')
        for row, image in enumerate(images):
            axis = axes[row][column]
            axis.set_axis_off()
            pixels = cv2.imread(str(truths[image].path))
            axis.imshow(pixels[..., ::-1], interpolation='nearest')
            for mark in marks[image]:
                x1, y1, x2, y2 = mark.box
                colour = COLOURS[mark.verdict]
                axis.add_patch(
                    Rectangle((x1 - 0.5, y1 - 0.5),
                              x2 - x1,
                              y2 - y1,
                              fill=False,
                              edgecolor=colour,
                              linewidth=1.5,
                              linestyle=':' if mark.score is None else '-'))
                _label(axis, mark, '*' if mark.name in starred else '',
                       pixels.shape[1])
    figure.supxlabel(
        'green: right, red: wrong, dotted: missed; * a pair of colour and '
        'shape that the text-conditioned model was never shown', fontsize=9)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))


def _label(axis, mark: Mark, star: str, width: int) -> None:
    """A name at the corner of a box, above it, or below what was missed."""
    x1, y1, x2, y2 = mark.box
    missed = mark.score is None
    at_right = x1 > 0.7 * width
    axis.text(
        x2 - 0.5 if at_right else x1 - 0.5,
        y2 if missed else max(y1 - 1, 5),
        f'{mark.name}{star} ' + ('missed' if missed else f'{mark.score:.2f}'),
        fontsize=7,
        ha='right' if at_right else 'left',
        va='top' if missed else 'bottom',
        clip_on=True,
        bbox=dict(
            facecolor=COLOURS[mark.verdict],
            edgecolor='none',
            alpha=0.8,
            pad=0.8))
