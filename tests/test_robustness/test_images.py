"""Images of every kind, whole and broken, and files named after them."""
import io
import json
import os

import cv2
import hostile
import mmcv
import numpy as np
import pytest
from hostile import attempt, damages, inputs, scratch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tiny_exports import save_brightness

from yolo_world_rep.inference import Predictor, Result
from yolo_world_rep.inference.images import read_image
from yolo_world_rep.inference.sources import find_files
from yolo_world_rep.inference.writing import Writer

#: Formats, and the modes that Pillow can write in them.
FORMATS = dict(
    png=('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'),
    jpg=('L', 'RGB', 'CMYK'),
    bmp=('1', 'L', 'P', 'RGB'),
    tif=('1', 'L', 'LA', 'RGB', 'RGBA', 'I;16'),
    webp=('RGB', 'RGBA'),
    ppm=('L', 'RGB'),
    gif=('L', 'P', 'RGB'))
SIZES = ((1, 1), (1, 10_000), (10_000, 1), (2, 3), (64, 96), (97, 61),
         (640, 480), (1, 64), (3000, 40))


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
    path = save_brightness(tmp_path_factory.mktemp('model'))
    with Predictor(path) as predictor:
        yield predictor


def encoded(mode, size, ending, value, orientation, frames):
    """A file of one colour, and what is in it as RGB of 8 bits."""
    dark = Image.new('L', size, value)
    if mode == 'I;16':
        image = Image.fromarray(
            np.full(size[::-1], value * 257, np.uint16))
    elif mode in ('RGBA', 'LA'):
        image = dark.convert(mode)
        image.putalpha(Image.new('L', size, 128))
    else:
        image = dark.convert(mode)
    more = {}
    if orientation and ending in ('jpg', 'tif', 'png', 'webp'):
        exif = Image.Exif()
        exif[0x0112] = orientation
        more['exif'] = exif
    if frames and ending in ('gif', 'webp', 'tif', 'png'):
        more.update(
            save_all=True,
            append_images=[Image.new('L', size, 255 - value).convert(mode)
                           if mode != 'I;16' else image])
    buffer = io.BytesIO()
    kind = dict(jpg='jpeg', tif='tiff').get(ending, ending)
    image.save(buffer, kind, **more)
    return buffer.getvalue()


@st.composite
def pictures(draw):
    ending = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[ending]))
    return dict(
        ending=ending, mode=mode, size=draw(st.sampled_from(SIZES)),
        value=draw(st.sampled_from([0, 120, 250])),
        orientation=draw(st.sampled_from([0, 0, 1, 3, 6, 8, 9])),
        frames=draw(st.booleans()))


class TestReading:

    @inputs()
    @given(picture=pictures())
    def test_kinds(self, predictor, picture):
        """What mmcv sees in training, and, mostly, what Pillow sees."""
        try:
            data = encoded(**picture)
        except (OSError, ValueError):  # Pillow cannot write it
            return
        ending, several = picture['ending'], picture['frames']
        # OpenCV does not turn these, and multiplies by alpha.
        apart = picture['orientation'] > 1 and (
            ending == 'tif' or several) or ending == 'tif' and (
                picture['mode'] in ('LA', 'RGBA'))
        with scratch() as folder:
            path = folder / f'i.{ending}'
            path.write_bytes(data)
            with Image.open(path) as image:
                seen = ImageOps.exif_transpose(image)
                wide = seen.mode.startswith('I')
                peak = np.asarray(seen if wide else seen.convert('RGB')).max()
                peak = int(peak / 257) if wide else int(peak)

            def check(result):
                pixels = read_image(path)
                np.testing.assert_array_equal(pixels, mmcv.imread(str(path)))
                assert result.shape == pixels.shape[:2]
                assert pixels.shape[2] == 3
                if apart:
                    return
                assert result.shape == seen.size[::-1]
                assert abs(int(pixels.max()) - peak) <= 3
                assert result.label_names == [
                    ('dark', 'grey', 'bright')[min(int(peak / 86), 2)]]

            attempt('images: kinds', lambda: predictor.predict(path)[0],
                    folder, names=[path.name], check=check)

    @inputs()
    @given(picture=pictures(), damage=damages())
    def test_bytes(self, predictor, picture, damage):
        picture['size'] = (33, 17)
        try:
            data = damage(encoded(**picture))
        except (OSError, ValueError):
            return
        with scratch() as folder:
            path = folder / f'i.{picture["ending"]}'
            path.write_bytes(data)

            def check(result):
                assert np.isfinite(result.boxes).all()

            attempt('images: bytes', lambda: predictor.predict(path)[0],
                    folder, names=[path.name], check=check)

    @inputs()
    @given(data=st.data())
    def test_arrays(self, predictor, data):
        from hypothesis.extra import numpy as arrays
        shape = data.draw(st.one_of(
            arrays.array_shapes(min_dims=0, max_dims=4, max_side=9),
            st.tuples(st.integers(0, 9), st.integers(1, 9),
                      st.sampled_from([1, 2, 3, 4]))))
        dtype = data.draw(st.sampled_from(
            ['u1', 'u2', 'f4', 'f8', 'i4', '?', 'c8', 'O', 'U1']))
        array = np.zeros(shape, dtype)
        if array.dtype.kind in 'uif':
            array[...] = data.draw(st.sampled_from([0, 120, 255]))

        def check(result):
            assert result.shape == shape[:2]

        with scratch() as folder:
            attempt('images: arrays', lambda: predictor.predict(array)[0],
                    folder, check=check)

    @inputs()
    @given(picture=pictures(), damage=st.one_of(st.none(), damages()))
    def test_pillow(self, predictor, picture, damage):
        """Images of Pillow are read when they are used, if they can be."""
        try:
            data = encoded(**picture)
            image = Image.open(io.BytesIO(damage(data) if damage else data))
        except Exception:  # nothing for us
            return
        with scratch() as folder:
            attempt('images: Pillow', lambda: predictor.predict(image)[0],
                    folder)

    @pytest.mark.parametrize('mode', ['I', 'F'])
    def test_values_without_a_scale(self, predictor, mode):
        """Pillow would make everything above 255 white."""
        with pytest.raises(ValueError, match=f"mode '{mode}'"):
            predictor.predict(Image.new(mode, (9, 9), 9000))

    def test_what_comes_after_a_broken_one(self, predictor, tmp_path):
        sound = Image.new('RGB', (96, 64))
        data = encoded('RGB', (64, 64), 'png', 120, 0, False)
        broken = Image.open(io.BytesIO(data[:len(data) // 2]))
        told = []
        results = list(predictor.stream(
            [broken, sound], on_error=lambda item, error: told.append(error)))
        assert len(results) == len(told) == 1


class TestNames:
    """Files are named after images, whatever those are called."""

    @inputs()
    @given(stems=st.lists(
        st.one_of(hostile.names, st.just('é' * 120), st.just('x' * 246)),
        min_size=1, max_size=3), classes=st.lists(
            hostile.names, min_size=1, max_size=3))
    def test_writing(self, stems, classes):
        with scratch() as folder:
            (folder / 'in').mkdir()
            paths = []
            for stem in stems:
                name = stem.replace('/', '_').replace('\x00', '_')
                path = folder / 'in' / f'{name}.png'
                try:
                    path.write_bytes(b'')
                except (OSError, UnicodeEncodeError):
                    continue  # no file can have this name
                paths.append(path)
            results = [
                Result(np.array([[1, 2, 11, 22]], 'f4'),
                       np.array([0.5], 'f4'),
                       np.array([index % len(classes)]), tuple(classes),
                       (40, 60), path=path, index=index,
                       pixels=np.zeros((40, 60, 3), np.uint8))
                for index, path in enumerate(paths)]
            out = folder / 'out'

            def write():
                writer = Writer(out / 'p', out / 't', out / 'r.json', paths)
                for result in results:
                    writer.add(result)
                writer.close()

            def check(_):
                assert len(os.listdir(out / 'p')) == len(results)
                assert len(os.listdir(out / 't')) == len(results)
                rows = json.loads((out / 'r.json').read_text())
                assert [row['category_name'] for row in rows] == [
                    result.label_names[0] for result in results]

            attempt('written files: names', write, folder, out, check=check)


class TestSources:

    @inputs()
    @given(names=st.lists(hostile.names, max_size=4),
           lines=st.booleans())
    def test_patterns_and_lists(self, names, lines):
        with scratch() as folder:
            sources = ['-'] if lines else [
                str(folder / name.replace('/', '_')) for name in names]
            stdin = io.StringIO('\n'.join(names))
            attempt('sources',
                    lambda: find_files(sources or ['none'], stdin), folder)

    @inputs(0.3)
    @given(damage=damages())
    def test_videos(self, predictor, damage):
        with scratch() as folder:
            path = folder / 'v.avi'
            writer = cv2.VideoWriter(
                str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 64))
            for _ in range(4):
                writer.write(np.full((64, 96, 3), 120, np.uint8))
            writer.release()
            path.write_bytes(damage(path.read_bytes()))
            attempt('videos', lambda: predictor.predict(str(path)), folder,
                    names=[path.name])
