"""An unreadable image is named, or left out and counted."""
import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmyolo.registry import TRANSFORMS

from yolo_world_rep.datasets.transforms import loading


@pytest.fixture
def load():
    """Builds the transform that configs name, as mmyolo does."""
    init_default_scope('mmyolo')
    return lambda **more: TRANSFORMS.build(
        dict(type='LoadCheckedImageFromFile', **more))


@pytest.fixture
def folder(tmp_path):
    image = np.random.default_rng(0).integers(
        0, 255, (6, 9, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'good.png'), image)
    data = (tmp_path / 'good.png').read_bytes()
    (tmp_path / 'half.png').write_bytes(data[:len(data) // 2])
    (tmp_path / 'text.png').write_text('not an image')
    (tmp_path / 'empty.png').touch()
    return tmp_path


def test_a_good_image_is_what_mmcv_loads(load, folder):
    for more in ({}, dict(to_float32=True), dict(ignore_empty=True)):
        ours, theirs = (build(**more)(dict(img_path=str(folder / 'good.png')))
                        for build in (load, loading.LoadImageFromFile))
        assert type(load()) is not loading.LoadImageFromFile
        image, expected = ours.pop('img'), theirs.pop('img')
        assert np.array_equal(image, expected)
        assert image.dtype == expected.dtype
        assert ours == theirs


BAD = [('half.png', 'decoded'), ('text.png', 'decoded'),
       ('empty.png', 'is empty'), ('gone.png', 'No such file')]


@pytest.mark.parametrize(('name', 'reason'), BAD)
def test_a_bad_one_is_named(load, folder, name, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        load()(dict(img_path=str(folder / name)))
    assert str(folder / name) in str(caught.value)
    assert '--skip-unreadable' in str(caught.value)


def test_left_out_and_counted(load, folder, monkeypatch):
    messages = []
    monkeypatch.setattr(loading, '_skipped', set())
    monkeypatch.setattr(loading, 'log',
                        lambda message, *args: messages.append(message))
    transform = load(ignore_empty=True)
    for name, _ in BAD + BAD:
        assert transform(dict(img_path=str(folder / name))) is None
    assert len(messages) == len(BAD)  # each file once
    assert [m.split(' has left out ')[1] for m in messages] == [
        f'{n} file(s) so far.' for n in (1, 2, 3, 4)
    ]
    assert all(str(folder) in message for message in messages)


def test_another_image_takes_its_place(load, folder, monkeypatch):
    # mmyolo's mosaic calls .pop on what its transforms give.
    monkeypatch.setattr(loading, '_skipped', set())

    class Files(list):

        def get_data_info(self, index):
            return dict(img_path=str(folder / self[index]), index=index)

    files = Files(name for name, _ in BAD)
    transform = load(ignore_empty=True)
    with pytest.raises(ValueError, match='100 images in turn'):
        transform(dict(files.get_data_info(0), dataset=files))
    files.append('good.png')
    drawn = transform(dict(files.get_data_info(0), dataset=files))
    assert drawn['index'] == 4
    assert drawn['img'].shape == (6, 9, 3)
    assert drawn['dataset'] is files
