"""Boxes with their names in a picture."""
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, features

from .fonts import check_font, drawn_name, fonts_for, load_font

MAX_DRAWN = 100
Colour = Tuple[int, int, int]
# Colours of Okabe and Ito, which most colour-blind people tell apart; RGB.
COLOURS: Tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (255, 255, 255))


class Mark(NamedTuple):
    """A box (x1, y1, x2, y2 in pixels) to draw, and its text."""
    box: Sequence[float]
    text: str
    colour: Colour  # RGB


def draw_boxes(image: np.ndarray, boxes: np.ndarray, labels: Sequence[int],
               names: Sequence[str], scores: Optional[Sequence[float]] = None,
               font: Optional[str] = None, max_drawn: int = MAX_DRAWN
               ) -> np.ndarray:
    """A copy of an image (h, w, 3), uint8, BGR, with boxes and class names.

    Boxes (K, 4) are x1, y1, x2, y2 in pixels, the best first; the rest is as
    of :class:`.Result` and :meth:`.Result.plot`.
    """
    check_font(font)
    return draw_marks(image, [
        Mark(box, drawn_name(names, label, font) + (
            '' if scores is None else f' {scores[place]:.2f}'),
            COLOURS[label % len(COLOURS)])
        for place, (box, label) in enumerate(zip(boxes.tolist(), labels))
    ], font, max_drawn)


def draw_marks(image: np.ndarray, marks: Sequence[Mark],
               font: Optional[str] = None, max_drawn: int = MAX_DRAWN
               ) -> np.ndarray:
    """A copy of an image (h, w, 3), BGR, with boxes and texts beside them.

    The first come on top and choose their places first. Texts lie inside the
    image and on no other; one without a place is left out.
    """
    total, marks = len(marks), marks[:max_drawn]
    # The channels stay as they are, the colours are turned.
    canvas = Image.fromarray(np.ascontiguousarray(image))
    pen = ImageDraw.Draw(canvas)
    height, width = image.shape[:2]
    size = max(10, round(max(height, width) / 45))
    line = max(1, round(max(height, width) / 320))
    for mark in marks[::-1]:
        (x1, x2), (y1, y2) = sorted(mark.box[::2]), sorted(mark.box[1::2])
        # Of a box without an inside to see the line is drawn around it.
        out = line if min(x2 - x1, y2 - y1) < 3 * line else 0
        pen.rectangle((x1 - out, y1 - out, x2 + out, y2 + out),
                      outline=mark.colour[::-1], width=line)
    corners = np.array([mark.box for mark in marks], float).reshape(-1, 4)
    small = corners[(corners[:, 2:] - corners[:, :2]).min(1) < 3 * size]
    taken = np.zeros((0, 4))
    if total > len(marks):
        marks = [Mark((0, height, 0, height), f'{len(marks)} of {total} drawn',
                      (255, 255, 255)), *marks]
    for mark in marks:
        label = _Label(mark.text, font, size, width)
        place = find_place(label.size, mark.box, taken, small, image.shape)
        if place is not None:
            taken = np.vstack([taken, [*place, *np.add(place, label.size)]])
            label.draw(pen, place, mark.colour)
    return np.asarray(canvas).copy()


def paint_masks(image: np.ndarray, masks: Iterable[np.ndarray],
                labels: Iterable[int]) -> np.ndarray:
    """A copy of an image in BGR, half its colours where objects are."""
    image = image.copy()
    for mask, label in zip(masks, labels):
        colour = np.array(COLOURS[label % len(COLOURS)][::-1])
        image[mask] = (image[mask] + colour) // 2
    return image


def find_place(size: Tuple[int, int], box: Sequence[float],
               taken: np.ndarray, small: np.ndarray,
               shape: Tuple[int, ...]) -> Optional[Tuple[int, int]]:
    """The left upper corner of a text near its box, None if all is taken.

    Of places that overlap none of ``taken`` the one that hides least of the
    ``small`` boxes, of several the first: above the box, in it, below, ....
    """
    (wide, high), (x1, y1, x2, y2) = size, box
    places = np.array([
        (x, y) for y in (y1 - high, y1, y2, y2 - high, y1 - 2 * high,
                         y2 + high, y1 - 3 * high, y2 + 2 * high)
        for x in (x1, x2 - wide, x1 - wide, x2)])
    places = np.clip(places, 0, np.maximum(
        np.subtract(shape[1::-1], size), 0)).round()
    areas = np.hstack([places, places + size])
    free = _overlaps(areas, taken) == 0
    if not free.any():
        return None
    hidden = np.where(free, _overlaps(areas, small), np.inf)
    x, y = places[hidden.argmin()]
    return int(x), int(y)


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pixels that each box of one has in common with any of the other."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return (high - low).clip(0).prod(-1).sum(1)


class _Label:
    """A text on a colour, each letter in a font that has it."""

    def __init__(self, text: str, font: Optional[str], size: int,
                 widest: int) -> None:
        self.parts = [(part, load_font(each, size)) for part, each in
                      fonts_for(text, font) or ((text, ('', 0)), )]
        self.ascent, descent = np.max(
            [face.getmetrics() for _, face in self.parts], 0).tolist()
        wide = sum(face.getlength(part) for part, face in self.parts)
        self.size = min(int(wide) + 3, widest), self.ascent + descent

    def draw(self, pen: ImageDraw.ImageDraw, place: Tuple[int, int],
             colour: Colour) -> None:
        (x, y), (wide, high) = place, self.size
        pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour[::-1])
        bright = np.dot(colour, (0.299, 0.587, 0.114)) > 115
        for part, face in self.parts:
            pen.text((x + 1, y + self.ascent), part, font=face, anchor='ls',
                     direction='ltr' if features.check('raqm') else None,
                     fill=(0, 0, 0) if bright else (255, 255, 255))
            x += face.getlength(part)
