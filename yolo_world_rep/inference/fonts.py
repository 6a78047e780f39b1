"""Fonts that have the letters of a text, of those that are installed."""
import importlib.util
import logging
import subprocess
import unicodedata
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, List, Optional, Sequence, Set, Tuple

from PIL import ImageFont, features

from yolo_world_rep.utils.log import log

Font = Tuple[str, int]  # a file and a number in it; no file: Pillow's own

# By these names Pillow finds files in the folders of the system.
USUAL = ('DejaVuSans.ttf', 'NotoSans-Regular.ttf', 'Arial Unicode.ttf',
         'NotoSansCJK-Regular.ttc', 'wqy-microhei.ttc', 'msyh.ttc')
_warned: Set[Optional[str]] = set()


@lru_cache(maxsize=256)
def load_font(font: Font, size: int) -> Any:
    """A font of Pillow, None if there is none."""
    try:
        return (ImageFont.truetype(str(font[0]), size, font[1]) if font[0]
                else ImageFont.load_default(size))
    except OSError:  # also a font of pictures in other sizes
        return None


def check_font(file: Optional[str]) -> None:
    if file is not None and load_font((file, 0), 24) is None:
        raise ValueError(f'`font` {file}: not a font that can be read; '
                         f'expected a file that ends in .ttf, .otf or .ttc.')


@cache
def _has(font: Font, letter: str) -> bool:
    """Whether a font draws a letter, not the box that stands for any."""
    face = load_font(font, 24)
    if face is None or letter.isspace():
        return face is not None
    drawn, missing = face.getmask(letter), face.getmask('\uffff')
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


@cache
def _usual() -> List[Font]:
    # matplotlib brings DejaVu Sans; it need not be imported, nor be there.
    spec = importlib.util.find_spec('matplotlib')
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    files = (folder / 'mpl-data/fonts/ttf/DejaVuSans.ttf', '', *USUAL)
    return [(str(file), 0) for file in files]


@cache
def _by_fontconfig(letter: str) -> List[Font]:
    try:
        file, number = subprocess.run(
            ['fc-match', '-f', '%{file}\n%{index}',
             f':charset={ord(letter):x}'], capture_output=True, text=True,
            timeout=20, check=True).stdout.split('\n')
        return [(file, int(number))]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


@lru_cache(maxsize=4096)
def fonts_for(text: str, chosen: Optional[str] = None
              ) -> Optional[Tuple[Tuple[str, Font], ...]]:
    """A text in pieces, each with its font; None if a letter is in none.

    The chosen font comes first, then those with most of the letters. Scripts
    that join letters or run from right to left need Pillow's Raqm.
    """
    if not features.check('raqm') and any(
            unicodedata.bidirectional(letter) in ('R', 'AL')
            or unicodedata.category(letter)[0] == 'M' for letter in text):
        return None
    fonts = ([] if chosen is None else [(chosen, 0)]) + _usual()
    for letter in text:
        if not any(_has(font, letter) for font in fonts):
            fonts += _by_fontconfig(letter)
    fonts.sort(key=lambda font: (font[0] != chosen, -sum(
        _has(font, letter) for letter in text)))
    found = [next((font for font in fonts if _has(font, letter)), None)
             for letter in text]
    if None in found:
        return None
    return tuple((''.join(letter for letter, _ in group), font)
                 for font, group in groupby(zip(text, found), itemgetter(1)))


def drawn_name(names: Sequence[str], label: int,
               font: Optional[str] = None) -> str:
    """The name of a class, or ``'class 3'`` where no font has its letters."""
    # A name is data: neither line breaks nor pages of text.
    name = ''.join(letter for letter in unicodedata.normalize(
        'NFC', names[label]) if letter.isprintable())[:40].strip()
    if name and fonts_for(name, font):
        return name
    if name and font not in _warned:
        _warned.add(font)
        log(f'No font here has the letters of the class {name!r}: pictures '
            f'have the numbers of such classes in place of their names. Give '
            f'`font` a file that has them (.ttf, .otf, .ttc).',
            logging.WARNING)
    return f'class {label}'
