"""The pictures of the report. matplotlib is imported where it is used."""
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from yolo_world_rep.utils.cli import printable
from yolo_world_rep.utils.files import PathLike

from .history import History
from .mistakes import Picture, assign

CLASSES_SHOWN = 40  # in a figure; tables have all
AP = 'coco/bbox_mAP'
# Of names: $ begins no mathematics.
LABEL: Dict[str, Any] = dict(fontsize=8, parse_math=False)
COLOURS = dict(right='#2ca02c', wrong='#d62728', missed='#ff9f0e')


class Mark(NamedTuple):
    """A box (x1, y1, x2, y2 in pixels) to draw, and its name."""
    box: Sequence[float]
    text: str
    verdict: str  # 'right', 'wrong' or 'missed'


def new_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout='constrained')


def save_figure(figure: Any, path: PathLike) -> None:
    """Write a figure as PNG, for any suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    FigureCanvasAgg(figure).print_png(str(path))


def draw_curves(history: History, path: PathLike) -> None:
    """Losses, learning rate and AP over the training."""
    figure = new_figure(12, 3.6)
    losses, rate, precision = figure.subplots(1, 3)
    for name in history.losses:
        losses.plot(*history.curve(name), label=name,
                    linewidth=2 if name == 'loss' else 1)
    losses.set(title='losses', xlabel='step', ylim=(0, None))
    if history.losses:
        losses.legend(fontsize=8)
    rate.plot(*history.curve('lr'))
    rate.set(title='learning rate', xlabel='step', ylim=(0, None))
    for name, label in ((AP, 'AP'), (f'{AP}_50', 'AP50')):
        precision.plot(*history.metric(name), marker='o', label=label)
    precision.set(title='validation', xlabel='epoch', ylim=(0, 1))
    precision.legend(fontsize=8)
    for axis in (losses, rate, precision):
        axis.grid(alpha=0.3)
    save_figure(figure, path)


def draw_classes(after: Dict[str, float], before: Optional[Dict[str, float]],
                 path: PathLike) -> None:
    names = list(after)[:CLASSES_SHOWN]
    figure = new_figure(8, 1.2 + 0.3 * len(names))
    axis = figure.subplots()
    places = np.arange(len(names))
    height = 0.4 if before else 0.7
    if before:
        axis.barh(places + 0.2, [before.get(n, np.nan) for n in names],
                  height, label='before', color='#bbbbbb')
    axis.barh(places - (0.2 if before else 0), [after[n] for n in names],
              height, label='after', color='#1f77b4')
    axis.set_yticks(places, list(map(printable, names)), **LABEL)
    axis.invert_yaxis()
    first = f', the first {len(names)}' if len(after) > len(names) else ''
    axis.set(title=f'AP by class{first}', xlim=(0, 1))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, axis='x')
    save_figure(figure, path)


def draw_confusion(table: np.ndarray, names: Sequence[str],
                   path: PathLike) -> None:
    """The confusion matrix, each row over its sum, numbers in the cells."""
    count = len(names)
    labels = [*names, 'nothing']
    shown = list(range(count + 1))
    if count > CLASSES_SHOWN:  # those with most mistakes
        wrong = (table.sum(1) + table.sum(0) - 2 * np.diag(table))[:count]
        shown = sorted(np.argsort(-wrong, kind='stable')
                       [:CLASSES_SHOWN].tolist()) + [count]
    part = table[np.ix_(shown, shown)]
    share = part / np.maximum(table[shown].sum(1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(shown)
    figure = new_figure(side, side)
    axis = figure.subplots()
    axis.imshow(share, cmap='Blues', vmin=0, vmax=1)
    ticks = range(len(shown))
    words = [printable(labels[i]) for i in shown]
    axis.set_xticks(ticks, words, rotation=90, **LABEL)
    axis.set_yticks(ticks, words, **LABEL)
    axis.set(xlabel='detected as', ylabel='object')
    for row, column in zip(*np.nonzero(part)):
        axis.text(column, row, str(part[row, column]), ha='center',
                  va='center', fontsize=7,
                  color='white' if share[row, column] > 0.5 else 'black')
    save_figure(figure, path)


def draw_pictures(pictures: Sequence[Picture], names: Sequence[str],
                  path: PathLike) -> None:
    """Images with objects and detections; what is wrong stands out."""
    columns = min(3, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = new_figure(4.6 * columns, 4.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture in zip(axes, pictures):
        marks = _marks(picture, names)
        draw_marks(
            axis, picture.path, marks, COLOURS, fontsize=6, color='white')
        axis.set_title(count(marks), fontsize=8)
    save_figure(figure, path)


def _marks(picture: Picture, names: Sequence[str]) -> List[Mark]:
    marks = []
    for truth, found in assign(picture):
        if found is None:
            marks.append(Mark(picture.boxes[truth],
                              names[picture.labels[truth]], 'missed'))
            continue
        name = names[picture.found_labels[found]]
        text = f'{name} {picture.scores[found]:.2f}'
        fits = truth is not None and (
            picture.labels[truth] == picture.found_labels[found])
        if truth is not None and not fits:
            text += f', is {names[picture.labels[truth]]}'
        marks.append(
            Mark(picture.found[found], text, 'right' if fits else 'wrong'))
    return marks


def count(marks: Sequence[Mark]) -> str:
    """``'7 right, 1 wrong, 0 missed'``."""
    verdicts = [mark.verdict for mark in marks]
    return ', '.join(f'{verdicts.count(v)} {v}' for v in COLOURS)


def draw_marks(axis: Any, path: PathLike, marks: Sequence[Mark],
               colours: Mapping[str, str], **words: Any) -> None:
    """An image with boxes; a name at a corner of each, inside the image.

    Missed boxes are dotted; ``words`` are those of ``Axes.text``.
    """
    import cv2
    from matplotlib.patches import Rectangle
    pixels = cv2.imread(str(path))
    axis.imshow(pixels[..., ::-1])
    for (x1, y1, x2, y2), text, verdict in marks:
        missed, colour = verdict == 'missed', colours[verdict]
        axis.add_patch(
            Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False,
                      edgecolor=colour, linewidth=1.5,
                      linestyle=':' if missed else '-'))
        at_right = x1 > 0.7 * pixels.shape[1]
        axis.text((x2 if at_right else x1) - 0.5,
                  y2 if missed else max(y1 - 1, 5), printable(text),
                  ha='right' if at_right else 'left',
                  va='top' if missed else 'bottom', clip_on=True,
                  parse_math=False,
                  bbox=dict(facecolor=colour, edgecolor='none', alpha=0.8,
                            pad=0.7), **words)
