"""Which images calibrate, and how they are prepared."""
import numpy as np
import pytest

from yolo_world_rep.deploy.calibration import (
    CalibrationImages,
    choose_images,
)
from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.images import read_image
from yolo_world_rep.inference.letterbox import Preprocess


def test_images_are_spread(images):
    names = [path.stem for path in choose_images([str(images)], 3)]
    assert names == ['0', '2', '5']
    assert len(choose_images([str(images)], 100)) == 6
    with pytest.raises(ValueError, match='`calibration_count` is 0'):
        choose_images([str(images)], 0)


def test_videos_do_not_calibrate(tmp_path):
    (tmp_path / 'a.mp4').touch()
    with pytest.raises(ValueError, match=r'a\.mp4 is a video; expected image'):
        choose_images([str(tmp_path / 'a.mp4')])


def test_calibration_is_prepared_as_a_prediction(images):
    spec = Spec(tuple('ab'), (64, 96), batch=4)
    paths = sorted(images.iterdir())
    batches = list(CalibrationImages(paths, spec))
    assert [batch.shape for batch in batches] == [(4, 3, 64, 96)] * 2
    preprocess = Preprocess(spec)
    every = [preprocess(read_image(path))[0] for path in paths]
    np.testing.assert_array_equal(
        np.concatenate(batches), np.stack(every + every[-1:] * 2))
