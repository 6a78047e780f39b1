"""Draws the figures of the documentation.

Run in the repository: python docs/figures.py [FOLDER]

The files are SVG without a date and with fixed ids, so that one version of
matplotlib always draws the same.
"""
import json
import os
import sys
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().with_name('images')
TEXT, IMAGE, PLAIN, FOLDED = '#f4d9a8', '#cfe0f1', '#ececec', '#cdeac8'
INK, FAINT = '#222222', '#777777'
Point = Tuple[float, float]


class Drawing:
    """Boxes and arrows in units of a tenth of an inch.

    Args:
        width (float): Of the figure.
        height (float): Of the figure.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 10, height / 10))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()
        self.figure.patch.set_facecolor('white')

    def box(self, x: float, y: float, text: str, color: str = PLAIN,
            width: float = 15, height: float = 5) -> None:
        """A box around its middle."""
        from matplotlib.patches import FancyBboxPatch
        self.axes.add_patch(
            FancyBboxPatch((x - width / 2, y - height / 2), width, height,
                           boxstyle='round,pad=0,rounding_size=0.8',
                           facecolor=color, edgecolor=INK, linewidth=0.8))
        self.words(x, y, text)

    def words(self, x: float, y: float, text: str, size: float = 8,
              color: str = INK, weight: str = 'normal') -> None:
        """A text around its middle."""
        self.axes.text(x, y, text, ha='center', va='center', fontsize=size,
                       color=color, weight=weight)

    def arrow(self, start: Point, end: Point,
              bend: Optional[str] = None) -> None:
        """An arrow from one point to another."""
        self.axes.annotate(
            '', end, start, arrowprops=dict(
                arrowstyle='-|>', color=INK, linewidth=0.9, shrinkA=0,
                shrinkB=0, connectionstyle=bend or 'arc3'))


def overview() -> Figure:
    """Text-conditioned, folded, deployed: for the README."""
    draw = Drawing(84, 34)
    for x, title, note in (
            (14, 'text-conditioned', 'any text, encoded by CLIP'),
            (42, 'folded', 'your N classes are weights:\nfine-tune, edit'),
            (70, 'deployed', 'batch norms and constants\nabsorbed, one file')):
        draw.words(x, 32, title, 10, weight='bold')
        draw.words(x, 2.6, note, 7.5, FAINT)
    draw.box(7.5, 27, 'texts', TEXT, 9, 4)
    draw.box(20, 27, 'CLIP', TEXT, 9, 4)
    draw.arrow((12, 27), (15.5, 27))
    for x, backbone, neck, head in (
            (14, 'backbone', 'neck', 'head'),
            (42, 'backbone', 'neck + guides', 'head + rows'),
            (70, 'backbone', 'neck + guides', 'head, fused')):
        color = IMAGE if x == 14 else FOLDED
        draw.box(x - 3, 20, backbone, IMAGE, 13, 4)
        draw.box(x - 3, 14, neck, color, 13, 4)
        draw.box(x - 3, 8, head, color, 13, 4)
        draw.arrow((x - 3, 18), (x - 3, 16))
        draw.arrow((x - 3, 12), (x - 3, 10))
    draw.axes.plot((24, 26, 26), (27, 27, 8), color=INK, linewidth=0.9)
    for y in (14, 8):
        draw.arrow((26, y), (17.5, y))
    draw.arrow((29.5, 14), (32, 14))
    draw.words(30.7, 16, 'fold', 7.5)
    draw.arrow((50, 14), (60, 14))
    draw.words(55, 16, 'export', 7.5)
    return draw.figure


def head() -> Figure:
    """The contrastive head before and after."""
    draw = Drawing(84, 30)
    draw.words(6, 28, 'before', 10, weight='bold')
    draw.box(9, 22, 'feature z\nD channels', IMAGE)
    draw.box(30, 22, 'normalize\n(BN or L2)', IMAGE)
    draw.box(53, 22, 'product with each\ntext, ×exp(s), +b', TEXT, 18)
    draw.box(75, 22, 'N logits', PLAIN)
    draw.box(53, 14.5, 'texts t, to unit norm', TEXT, 18, 4)
    for start, end in ((16.5, 22.5), (37.5, 44), (62, 67.5)):
        draw.arrow((start, 22), (end, 22))
    draw.arrow((53, 16.5), (53, 19.5))
    draw.words(6, 10.5, 'after', 10, weight='bold')
    draw.box(9, 4.5, 'feature z\nD channels', IMAGE)
    draw.box(30, 4.5, 'normalize\n(BN or L2)', IMAGE)
    draw.box(53, 4.5, '1×1 convolution, D to N\n'
             'rows exp(s)·t/‖t‖, bias b', FOLDED, 18)
    draw.box(75, 4.5, 'N logits', PLAIN)
    for start, end in ((16.5, 22.5), (37.5, 44), (62, 67.5)):
        draw.arrow((start, 4.5), (end, 4.5))
    return draw.figure


def neck() -> Figure:
    """A guided layer of the neck before and after."""
    draw = Drawing(84, 32)
    for y, title, folded in ((24, 'before', False), (8, 'after', True)):
        draw.words(6, y + 6.5, title, 10, weight='bold')
        draw.box(9, y, 'embedding e\nM heads of d', IMAGE)
        if folded:
            draw.box(31, y, '1×1 convolutions,\nd to N a head\n'
                     'rows g = W t + c', FOLDED, 17, 7)
        else:
            draw.box(31, y, 'product with\nN guides g', TEXT, 17)
            draw.box(31, y - 7.5, 'texts t: W t + c', TEXT, 17, 4)
            draw.arrow((31, y - 5.5), (31, y - 2.5))
        draw.box(52, y, 'maximum over N', PLAIN, 14)
        draw.box(73, y, 'σ( · /√d + β)·γ\nscales M groups', PLAIN, 16)
        for start, end in ((16.5, 22.5), (39.5, 45), (59, 65)):
            draw.arrow((start, y), (end, y))
    draw.words(52, 3, 'not linear: stays', 7.5, FAINT)
    return draw.figure


def deploy() -> Figure:
    """Three linear maps of the class branch become one."""
    draw = Drawing(84, 20)
    draw.words(8, 18, 'folded', 10, weight='bold')
    for x, text, color in ((13, '1×1, C to D', IMAGE),
                           (37, 'batch norm, D', IMAGE),
                           (61, '1×1, D to N', FOLDED)):
        draw.box(x, 13, text, color, 16, 4)
    draw.arrow((21, 13), (29, 13))
    draw.arrow((45, 13), (53, 13))
    draw.words(77, 13, 'N logits')
    draw.arrow((69, 13), (73, 13))
    draw.words(8, 8, 'fused', 10, weight='bold')
    draw.box(37, 4, 'one 1×1 convolution, C to N', FOLDED, 64, 4)
    draw.arrow((69, 4), (73, 4))
    draw.words(77, 4, 'N logits')
    return draw.figure


def detections() -> Figure:
    """What the demo's folded model detects: docs/demo_detections.py."""
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path as Outline

    from yolo_world_rep.datasets.shapes import outline
    noted = json.loads((FOLDER / 'detections.json').read_text())
    size, pictures = noted['size'], noted['pictures']
    figure = Figure(figsize=(3.2 * len(pictures), 3.2))
    for column, picture in enumerate(pictures):
        axis = figure.add_axes(
            ((column + 0.01) / len(pictures), 0.02, 0.98 / len(pictures),
             0.96), facecolor=str(picture['grey'] / 255))
        axis.set(xlim=(0, size), ylim=(size, 0), xticks=(), yticks=())
        for shape in picture['shapes']:
            x1, y1, x2, y2 = shape['box']
            cos, sin = np.cos(shape['angle']), np.sin(shape['angle'])
            parts = [points @ [[cos, sin], [-sin, cos]] * shape['diameter'] / 2
                     for points in outline(shape['name'].split()[1])]
            low, high = parts[0].min(0), parts[0].max(0)
            middle = np.array([x1 + x2, y1 + y2]) / 2 - (low + high) / 2
            # A hole is walked the other way round.
            parts = [part[::1 - 2 * (i % 2)] + middle
                     for i, part in enumerate(parts)]
            axis.add_patch(PathPatch(
                Outline.make_compound_path(*(
                    Outline(part, closed=False) for part in parts)),
                facecolor=np.array(shape['rgb']) / 255, linewidth=0))
        for each in reversed(picture['detections']):
            x, y, width, height = each['bbox']
            end = x > 0.7 * size  # a name there begins before its box
            axis.add_patch(Rectangle((x, y), width, height, fill=False,
                                     edgecolor='white', linewidth=1.2))
            star = '*' if each['name'] in noted['unseen'] else ''
            axis.text(x + end * width, y - 1,
                      f'{each["name"]}{star} {each["score"]:.2f}',
                      ha='right' if end else 'left', va='bottom',
                      fontsize=6.5, color='white', bbox=dict(
                          facecolor=INK, linewidth=0, pad=0.8))
    return figure


FIGURES: Dict[str, Callable[[], Figure]] = {
    'overview.svg': overview, 'fold_head.svg': head, 'fold_neck.svg': neck,
    'fold_deploy.svg': deploy, 'detections.svg': detections}


def draw_all(folder: Path) -> None:
    """Write all figures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {'svg.hashsalt': 'yolo_world_rep', 'svg.fonttype': 'path',
                'font.family': 'DejaVu Sans'}
    for name, drawn in FIGURES.items():
        temporary = folder / f'.{name}.{os.getpid()}'
        with matplotlib.rc_context(settings):
            drawn().savefig(temporary, format='svg', metadata=dict(
                Date=None, Creator=None))
        os.replace(temporary, folder / name)


if __name__ == '__main__':
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
