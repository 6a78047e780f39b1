"""Fonts that have the letters of a text, of those that are installed."""
import importlib.util
import logging
import subprocess
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Set, Tuple

from PIL import ImageFont, features

from yolo_world_rep.utils.log import log

Font = Tuple[str, int]  # a file and a number in it; no file: Pillow's own
Pieces = Tuple[Tuple[str, Font], ...]

# By these names Pillow finds files in the folders of the system.
USUAL = ('DejaVuSans.ttf', 'NotoSans-Regular.ttf', 'arial.ttf',
         'Arial Unicode.ttf', 'NotoSansCJK-Regular.ttc', 'wqy-microhei.ttc',
         'msyh.ttc')
LONGEST = 40  # letters of a name: it is data, maybe pages of it
_warned: Set[Optional[str]] = set()


@lru_cache(maxsize=256)
def load_font(font: Font, size: int, shaped: bool = True
              ) -> ImageFont.FreeTypeFont:
    file, number = font
    if not file:
        return ImageFont.load_default(size)  # type: ignore[return-value]
    return ImageFont.truetype(
        file, size, number,
        layout_engine=None if shaped else ImageFont.Layout.BASIC)


def check_font(file: Optional[str]) -> None:
    """Refuse what is not a font."""
    if file is not None:
        try:
            load_font((str(file), 0), 20)
        except OSError as error:
            raise ValueError(
                f'`font` {file}: not a font that can be read ({error}); '
                f'expected a file of TrueType or OpenType (.ttf, .otf, '
                f'.ttc).') from error


@cache
def _has(font: Font, letter: str) -> bool:
    """Whether a font draws a letter, not the box that stands for any."""
    if letter.isspace():
        return True
    try:
        face = load_font(font, 24, shaped=False)
        drawn, missing = face.getmask(letter), face.getmask('\uffff')
    except OSError:  # also a font of pictures in other sizes
        return False
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


@lru_cache(maxsize=1)
def _usual() -> List[Font]:
    # matplotlib brings DejaVu Sans; it need not be imported, nor be there.
    spec = importlib.util.find_spec('matplotlib')
    files = [str(Path(spec.origin).parent / 'mpl-data/fonts/ttf' / USUAL[0])
             ] if spec and spec.origin else []
    found = []
    for file in (*files, '', *USUAL):
        try:
            load_font((file, 0), 20)
        except OSError:
            continue
        found.append((file, 0))
    return found


@cache
def _by_fontconfig(letter: str) -> Optional[Font]:
    try:
        found = subprocess.run(
            ['fc-match', '-f', '%{file}\n%{index}',
             f':charset={ord(letter):x}'],
            capture_output=True, text=True, timeout=20, check=True)
        file, number = found.stdout.split('\n')
        return file, int(number)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _fonts(text: str, chosen: Optional[str]) -> Iterator[Font]:
    usual = [*([] if chosen is None else [(str(chosen), 0)]), *_usual()]
    yield from usual
    for letter in text:
        if not any(_has(font, letter) for font in usual):
            found = _by_fontconfig(letter)
            if found is not None:
                yield found


@lru_cache(maxsize=4096)
def fonts_for(text: str, chosen: Optional[str] = None) -> Optional[Pieces]:
    """A text in pieces, each with its font; None if a letter is in none.

    One font for all of it if there is one. Scripts that join their letters or
    run from right to left need Pillow's Raqm.
    """
    joined = any(unicodedata.bidirectional(letter) in ('R', 'AL')
                 or unicodedata.category(letter)[0] == 'M' for letter in text)
    if joined and not features.check('raqm'):
        return None
    fonts = list(dict.fromkeys(_fonts(text, chosen)))
    for font in fonts:
        if all(_has(font, letter) for letter in text):
            return ((text, font), )
    pieces: List[Tuple[str, Font]] = []
    for letter in text:
        last = pieces[-1:]  # whose font goes on as far as it can
        for font in (*(font for _, font in last), *fonts):
            if _has(font, letter):
                break
        else:
            return None
        if last and last[0][1] == font:
            pieces[-1] = (last[0][0] + letter, font)
        else:
            pieces.append((letter, font))
    return tuple(pieces)


def drawn_name(names: Sequence[str], label: int,
               font: Optional[str] = None) -> str:
    """The name of a class, or ``'class 3'`` where no font has its letters."""
    name = ''.join(letter for letter in unicodedata.normalize(
        'NFC', names[label]) if letter.isprintable())[:LONGEST].strip()
    if name and fonts_for(name, font):
        return name
    if name and font not in _warned:
        _warned.add(font)
        log(f'No font here has the letters of the class {name!r}: pictures '
            f'have the numbers of such classes in place of their names. Give '
            f'`font` a file that has them (.ttf, .otf, .ttc).',
            logging.WARNING)
    return f'class {label}'
