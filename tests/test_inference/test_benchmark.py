"""Models of any form, timed side by side."""
import pytest
from tiny_exports import save_brightness

from yolo_world_rep.inference import benchmark
from yolo_world_rep.inference.benchmark import (
    compare_latency,
    pair_checkpoints,
)


@pytest.fixture
def files(tmp_path):
    """The same model for any number of images, and for two at a time."""
    paths = []
    for name, batch in (('any', None), ('two', 2)):
        (tmp_path / name).mkdir()
        paths.append(save_brightness(tmp_path / name, batch=batch))
    return paths


def test_figures_are_of_an_image(files, monkeypatch):
    shapes = []

    def medians(calls, rounds, warm_up):
        shapes.extend(call()[0].shape for call in calls.values())
        assert (rounds, warm_up) == (7, 1)
        return dict(zip(calls, (2., 3.)))

    monkeypatch.setattr(benchmark, 'interleaved_medians', medians)
    one, two = compare_latency(files, rounds=7, warm_up=1)
    assert (one.shape, two.shape) == ((1, 3, 64, 96), (2, 3, 64, 96))
    assert shapes == [(1, 1, 4), (2, 1, 4)]  # it ran on as many
    assert (one.milliseconds, two.milliseconds) == (2, 3)
    assert (one.ratio, two.ratio) == (1, 0.75)
    assert two.milliseconds_an_image == 1.5
    assert (one.model, one.runtime) == (str(files[0]), 'TorchScript')


def test_a_batch_for_all(files):
    for each in compare_latency(files, batch=2, rounds=1, warm_up=0):
        assert each.shape == (2, 3, 64, 96)
        assert each.milliseconds > 0


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(batch=3), '2 image.s. at a time'),
    (dict(image_size=(32, 32)), 'image size'),
    (dict(rounds=0), '`rounds` 0: expected 1 or more'),
    (dict(precision='bf16'), 'only OpenVINO'),
    (dict(checkpoints=['a.pth']), '0 config.s. and 1 checkpoint'),
])
def test_what_does_not_go_together(files, settings, message):
    with pytest.raises(ValueError, match=message):
        compare_latency(files, **settings)


def test_checkpoints_go_to_the_configs_in_turn():
    models = ['a.py', 'b.onnx', 'a.py']
    assert pair_checkpoints(models, ['1.pth', '2.pth']) == [
        '1.pth', None, '2.pth'
    ]
    with pytest.raises(ValueError, match='2 config.s. and 1 checkpoint'):
        pair_checkpoints(models, ['1.pth'])
