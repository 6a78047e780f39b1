"""Names of any script, labels that can be read, boxes up to a number."""
import subprocess

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import ImageFont, features

from yolo_world_rep.inference import drawing, fonts
from yolo_world_rep.inference.drawing import Mark, draw_boxes, draw_marks

GREY = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def warnings(monkeypatch):
    """What was said, of which nothing was said before."""
    fonts._warned.clear()
    said = []
    monkeypatch.setattr(fonts, 'log', lambda text, level: said.append(text))
    return said


@pytest.fixture(scope='module')
def cat_font(tmp_path_factory):
    """A font with the sign for a cat and nothing else."""

    def glyph(*corners):
        pen = TTGlyphPen(None)
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
        return pen.glyph()

    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(['.notdef', 'cat'])
    font.setupCharacterMap({ord('猫'): 'cat'})
    font.setupGlyf({'.notdef': glyph((0, 0), (0, 700), (500, 700), (500, 0)),
                    'cat': glyph((0, 0), (400, 800), (800, 0))})
    font.setupHorizontalMetrics({'.notdef': (600, 0), 'cat': (900, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable(dict(familyName='Cat', styleName='Regular'))
    font.setupOS2()
    font.setupPost()
    path = tmp_path_factory.mktemp('font') / 'cat.ttf'
    font.save(path)
    return str(path)


@pytest.fixture
def no_system(monkeypatch):
    monkeypatch.setattr(fonts, '_by_fontconfig', lambda letter: [])
    fonts.fonts_for.cache_clear()
    yield
    fonts.fonts_for.cache_clear()


@pytest.mark.parametrize('name', [
    'é', 'ñ', 'ü', 'café', 'cafe\u0301', 'кот', 'Ωμέγα',
    pytest.param('العربية', marks=pytest.mark.skipif(
        not features.check('raqm'), reason='this Pillow joins no letters'))])
def test_names_are_written_in_letters(name, warnings):
    shown = fonts.drawn_name([name], 0)
    (text, font), = fonts.fonts_for(shown)
    face = ImageFont.truetype(font[0], 24, font[1])
    empty = bytes(face.getmask('\uffff'))
    assert text == shown
    for letter in text:
        assert bytes(face.getmask(letter)) != empty
    assert not warnings


def test_a_name_without_a_font_becomes_a_number_and_a_warning(
        cat_font, no_system, warnings):
    names = ['cat', '猫', '犬']
    assert [fonts.drawn_name(names, label) for label in (0, 1, 2, 1)] == [
        'cat', 'class 1', 'class 2', 'class 1']
    warning, = warnings
    assert "'猫'" in warning
    assert '`font`' in warning
    assert fonts.drawn_name(names, 1, cat_font) == '猫'
    # The score is in another font, which has it.
    assert fonts.fonts_for('猫 0.5', cat_font) == (
        ('猫 ', (cat_font, 0)), ('0.5', fonts._usual()[0]))


def test_a_font_of_the_system_is_found_by_a_letter(cat_font, monkeypatch):
    monkeypatch.setattr(
        subprocess, 'run', lambda command, **_: subprocess.CompletedProcess(
            command, 0, f'{cat_font}\n0' if 'charset=732b' in command[-1]
            else ''))
    for cached in (fonts.fonts_for, fonts._by_fontconfig):
        cached.cache_clear()
    assert fonts.fonts_for('猫') == (('猫', (cat_font, 0)), )
    assert fonts.fonts_for('犬') is None
    for cached in (fonts.fonts_for, fonts._by_fontconfig):
        cached.cache_clear()


def test_without_raqm_letters_that_join_are_a_number(monkeypatch):
    monkeypatch.setattr(features, 'check', lambda feature: False)
    fonts.fonts_for.cache_clear()
    assert fonts.drawn_name(['a', 'العربية'], 1) == 'class 1'
    fonts.fonts_for.cache_clear()


@pytest.mark.parametrize('name', ['', '\n', '\u200b'])
def test_a_name_of_nothing_is_a_number(name):
    assert fonts.drawn_name([name], 0) == 'class 0'


def test_what_is_no_font_is_refused(tmp_path):
    (tmp_path / 'a.ttf').write_text('no font')
    with pytest.raises(ValueError, match='`font` .*a.ttf: not a font'):
        draw_boxes(GREY, np.zeros((0, 4)), [], [], font=tmp_path / 'a.ttf')


def placed(monkeypatch, image, marks, **settings):
    """The areas of the labels drawn."""
    areas = []
    monkeypatch.setattr(
        drawing._Label, 'draw', lambda label, pen, place, colour:
        areas.append((*place, *np.add(place, label.size))))
    draw_marks(image, marks, **settings)
    return np.array(areas)


def test_labels_lie_in_the_picture_and_on_no_other(monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, 1, (90, 2)) * [320, 240]
    boxes = np.hstack([centres - 20, centres + 20]).tolist()
    areas = placed(monkeypatch, GREY,
                   [Mark(box, 'cat 0.50', (0, 255, 0)) for box in boxes])
    assert len(areas) > 50
    assert areas.min() >= 0
    assert (areas[:, 2:] <= [320, 240]).all()
    own = (areas[:, 2:] - areas[:, :2]).prod(1)
    assert drawing._overlaps(areas, areas).tolist() == own.tolist()


def test_a_label_is_no_wider_than_the_picture(monkeypatch):
    area, = placed(monkeypatch, GREY[:, :60],
                   [Mark([50, 50, 60, 60], 'a' * 40, (0, 255, 0))])
    assert area[0] >= 0
    assert area[2] <= 60


def test_no_box_strikes_through_a_label():
    box, other = [40, 100, 200, 200], [60, 60, 300, 230]
    alone = draw_marks(GREY, [Mark(box, 'a name', (0, 255, 0))])
    label = (slice(90, 99), slice(42, 65))
    assert not (alone[label] == 90).all(-1).any()
    for order in (1, -1):
        drawn = draw_marks(GREY, [Mark(box, 'a name', (0, 255, 0)),
                                  Mark(other, 'b', (255, 0, 0))][::order])
        assert (drawn[label] == alone[label]).all()


def test_small_boxes_are_seen():
    for box in ([50, 50, 51, 51], [50, 50, 50, 50], [50, 50, 60, 51],
                [60, 50, 50, 50]):
        drawn = draw_boxes(GREY, np.array([box], float), [1], ['a', 'b'])
        seen = (drawn[44:57, 44:67] == drawing.COLOURS[1][::-1]).all(-1)
        assert seen.sum() >= 8


def test_lines_and_letters_grow_with_the_image(monkeypatch):
    lines, areas = [], []
    for scale in (1, 5):
        image = np.zeros((480 * scale, 640 * scale, 3), np.uint8)
        mark = Mark(scale * np.array([100, 100, 300, 300]), 'cat', (9, 9, 9))
        row = (draw_marks(image, [mark])[200 * scale] > 0).any(-1)
        lines.append(row.sum())
        areas.append(placed(monkeypatch, image, [mark])[0])
        monkeypatch.undo()
    assert lines == [4, 20]
    np.testing.assert_allclose(areas[1], 5 * areas[0], atol=9)


def test_the_best_are_drawn_and_a_note_says_of_how_many(monkeypatch):
    boxes = [[10. * n, 50, 10. * n + 8, 60] for n in range(30)]
    marks = [Mark(box, str(n), (0, 255, 0)) for n, box in enumerate(boxes)]
    drawn = draw_marks(GREY, marks, max_drawn=20)
    green = (drawn == (0, 255, 0)).all(-1)
    assert green[55, :195].any()
    assert not green[55, 200:].any()
    assert (drawn[225:, :30] == 255).all(-1).any()  # the note
    assert not (draw_marks(GREY, marks) == 255).all(-1).any()
