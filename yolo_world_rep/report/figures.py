"""The pictures of the report. matplotlib is imported where it is used."""
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence

import cv2
import numpy as np

from yolo_world_rep.inference.drawing import Mark, draw_marks
from yolo_world_rep.inference.fonts import drawn_name, fonts_for
from yolo_world_rep.inference.images import read_image
from yolo_world_rep.utils.files import PathLike

from .history import History
from .mistakes import Picture, assign

CLASSES_SHOWN = 40  # in a figure; tables have all
AP = 'coco/bbox_mAP'
COLOURS = dict(right=(0, 158, 115), wrong=(230, 60, 0),
               missed=(240, 228, 66))  # RGB
LEGEND = 'Green: right; red: wrong; yellow: missed.'
SIDE = 800  # pixels of a picture's longer side


def new_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout='constrained')


def save_figure(figure: Any, path: PathLike) -> None:
    """Write a figure as PNG, for any suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    FigureCanvasAgg(figure).print_png(str(path))


def _name_ticks(axis: Any, labels: Sequence[int], names: Sequence[str],
                font: Optional[str], **words: Any) -> None:
    """Names at the ticks of an axis, each in a font that has it."""
    files = [(name, pieces) if len(pieces) == 1 else (f'class {label}', ())
             for label in labels
             for name in [drawn_name(names, label, font)]
             for pieces in [fonts_for(name, font) or ()]]
    axis.set_ticks(range(len(files)), [name for name, _ in files],
                   parse_math=False, **words)  # $ begins no mathematics
    for text, (_, pieces) in zip(axis.get_ticklabels(), files):
        if pieces and pieces[0][1][0]:
            text.set_fontproperties(Path(pieces[0][1][0]))
        text.set_fontsize(8)


def draw_curves(history: History, folder: Path) -> List[str]:
    """Losses, learning rate and AP over the training; the files' names."""
    files = []
    for title, unit, top, curves in (
            ('loss', 'step', None, [
                (name, history.curve(name)) for name in history.losses]),
            ('learning rate', 'step', None, [('', history.curve('lr'))]),
            ('average precision', 'epoch', 1, [
                ('AP', history.metric(AP)),
                ('AP50', history.metric(f'{AP}_50'))])):
        figure = new_figure(3.3, 3)
        axis = figure.subplots()
        for name, points in curves:
            axis.plot(*points, label=name, marker='o' if top else None,
                      linewidth=2 if name == 'loss' else 1)
        axis.set(xlabel=unit, ylabel=title, ylim=(0, top))
        axis.grid(alpha=0.3)
        if len(curves) > 1:
            axis.legend(fontsize=8)
        files.append(f'{title.replace(" ", "_")}.png')
        save_figure(figure, folder / files[-1])
    return files


def draw_classes(after: Dict[str, float], before: Optional[Dict[str, float]],
                 path: PathLike, font: Optional[str] = None) -> None:
    names = list(after)[:CLASSES_SHOWN]
    figure = new_figure(5, 1.2 + 0.3 * len(names))
    axis = figure.subplots()
    places = np.arange(len(names))
    height = 0.4 if before else 0.7
    if before:
        axis.barh(places + 0.2, [before.get(n, np.nan) for n in names],
                  height, label='before', color='#bbbbbb')
    axis.barh(places - (0.2 if before else 0), [after[n] for n in names],
              height, label='after', color='#1f77b4')
    _name_ticks(axis.yaxis, places.tolist(), names, font)
    axis.invert_yaxis()
    first = f', the first {len(names)}' if len(after) > len(names) else ''
    axis.set(title=f'AP by class{first}', xlim=(0, 1),
             xlabel='average precision')
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, axis='x')
    save_figure(figure, path)


def draw_confusion(table: np.ndarray, names: Sequence[str],
                   path: PathLike, font: Optional[str] = None) -> None:
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
    _name_ticks(axis.xaxis, shown, labels, font, rotation=90)
    _name_ticks(axis.yaxis, shown, labels, font)
    axis.set(xlabel='detected as', ylabel='object')
    for row, column in zip(*np.nonzero(part)):
        axis.text(column, row, str(part[row, column]), ha='center',
                  va='center', fontsize=7,
                  color='white' if share[row, column] > 0.5 else 'black')
    save_figure(figure, path)


def judge(picture: Picture, names: Sequence[str],
          font: Optional[str] = None) -> List[Mark]:
    """The detections of an image, then the objects that were missed."""
    called = [drawn_name(names, label, font) for label in range(len(names))]
    marks = []
    for truth, found in assign(picture):
        label = None if truth is None else picture.labels[truth]
        if found is None:
            marks.append(Mark(picture.boxes[truth], f'{called[label]} missed',
                              COLOURS['missed']))
            continue
        guess = picture.found_labels[found]
        text = f'{called[guess]} {picture.scores[found]:.2f}'
        if label not in (None, guess):
            text += f', is {called[label]}'
        marks.append(Mark(picture.found[found], text, COLOURS[
            'right' if label == guess else 'wrong']))
    return marks


def count(marks: Iterable[Mark]) -> str:
    """``'7 right, 1 wrong, 0 missed'``."""
    counted = Counter(mark.colour for mark in marks)
    return ', '.join(f'{counted[colour]} {verdict}'
                     for verdict, colour in COLOURS.items())


def draw_judged(path: PathLike, marks: Sequence[Mark],
                font: Optional[str] = None) -> np.ndarray:
    """An image, its longer side of 800 pixels, with boxes; uint8, BGR."""
    image = read_image(Path(path))
    scale = SIDE / max(image.shape[:2])
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return draw_marks(cv2.resize(image, size), [
        mark._replace(box=scale * np.array(mark.box)) for mark in marks], font)
