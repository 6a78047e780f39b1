import io

import cv2
import numpy as np
import pytest
from PIL import Image

from yolo_world_rep.inference import sources
from yolo_world_rep.inference.images import as_bgr, read_image
from yolo_world_rep.inference.sources import count_images, find_files


@pytest.fixture
def folder(tmp_path):
    for name in ('b.png', 'a.JPG', 'deep/c.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((4, 6, 3), 9, np.uint8))
    (tmp_path / 'notes.txt').write_text('no image')
    return tmp_path


def names(files):
    return [file.name for file in files]


def test_folders_files_and_patterns(folder):
    assert names(find_files([str(folder)])) == ['a.JPG', 'b.png']
    assert names(find_files([str(folder / 'b.png'),
                             str(folder / 'a.JPG')])) == ['b.png', 'a.JPG']
    assert names(find_files([str(folder / '*.png')])) == ['b.png']
    assert names(find_files([str(folder / '**/*.png')])) == ['b.png', 'c.png']


def test_a_name_that_looks_like_a_pattern(folder):
    path = folder / 'x[1].png'
    path.write_bytes((folder / 'b.png').read_bytes())
    assert names(find_files([str(path)])) == ['x[1].png']


def test_a_list_on_standard_input(folder):
    lines = io.StringIO(f'{folder}/b.png\n\n{folder}/ new one.png\r\n')
    assert names(find_files(['-'], lines)) == ['b.png', ' new one.png']
    with pytest.raises(ValueError, match='no paths on standard input'):
        find_files(['-'], io.StringIO('\n'))


@pytest.mark.parametrize('name, message', [
    ('none.png', 'none.png: no such file'), ('*.gif', 'gif: no such file'),
    ('empty', 'empty: no images in this folder')])
def test_a_source_with_nothing_is_refused(folder, name, message):
    (folder / 'empty').mkdir()
    with pytest.raises(ValueError, match=message):
        find_files([str(folder / name)])


def test_an_image_is_turned_as_exif_says(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = 255  # the left half
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned to the right
    path = tmp_path / 'turned.jpg'
    image.save(path, exif=exif)
    read = read_image(path)
    assert read.shape == (60, 40, 3)
    assert read[:25].mean() > 250  # the upper half now
    opened = as_bgr(Image.open(path))
    assert opened.shape == read.shape
    assert np.abs(opened.astype(int) - read).mean() < 2


def test_grey_alpha_and_sixteen_bits_become_three_channels(tmp_path):
    random = np.random.RandomState(0)
    colour = random.randint(0, 256, (5, 7, 3), dtype=np.uint8)
    deep = random.randint(0, 65536, (5, 7, 3), dtype=np.uint16)
    for name, pixels, expected in (
        ('grey', colour[..., 0], np.repeat(colour[..., :1], 3, 2)),
        ('alpha', np.dstack([colour, colour[..., 0]]), colour),
        ('deep', deep, (deep >> 8).astype(np.uint8)),
        ('deep grey', deep[..., 0],
         np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2))):
        path = tmp_path / f'{name}.png'
        cv2.imwrite(str(path), pixels)
        np.testing.assert_array_equal(read_image(path), expected, name)
        np.testing.assert_array_equal(as_bgr(pixels), expected, name)
        np.testing.assert_array_equal(
            as_bgr(Image.open(path)), expected, name)


@pytest.mark.parametrize('array', [
    np.zeros((4, 5, 3)), np.zeros((4, 5, 2), np.uint8),
    np.zeros((2, 4, 5, 3), np.uint8), np.zeros((0, 5, 3), np.uint8),
    np.zeros(5, np.uint8), [[1, 2]], None, 'picture.png'], ids=str)
def test_what_is_no_image_is_refused(array):
    with pytest.raises(ValueError, match='image'):
        as_bgr(array)


@pytest.mark.parametrize('content', [b'', b'GIF', b'\xff\xd8\xff\xe0'])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / 'bad.jpg'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='bad.jpg: not an image'):
        read_image(path)


def test_how_many_images_there_are(folder):
    path = folder / 'film.avi'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 64))
    for _ in range(3):
        writer.write(np.zeros((64, 96, 3), np.uint8))
    writer.release()
    assert count_images([folder / 'b.png', path]) == 4
    (folder / 'bad.mp4').write_bytes(b'')
    assert count_images([folder / 'bad.mp4']) is None


def test_files_of_other_endings_are_named(folder, monkeypatch):
    (folder / 'd.heic').touch()
    (folder / 'd.txt').touch()
    (folder / 'e.JFIF').touch()
    said = []
    monkeypatch.setattr(sources, 'log', lambda text, level: said.append(text))
    assert names(find_files([str(folder)])) == ['a.JPG', 'b.png', 'e.JFIF']
    assert 'files that end in .heic are not read' in said[0]
