"""The outputs of a file, before there is a file."""
import numpy as np
import pytest
import torch
from builders import build_detector, randomize, relative_error
from tiny_deploy import SMALL

from yolo_world_rep.deploy import fuse
from yolo_world_rep.deploy.outputs import as_contract, output_names
from yolo_world_rep.inference.postprocess import decode
from yolo_world_rep.inference.prototypes import sigmoid

STRIDES = (8, 16, 32)


@pytest.fixture(scope='module')
def detector():
    model = randomize(build_detector('rep_conv', **SMALL).double())
    return model.requires_grad_(False)


@pytest.fixture(scope='module')
def image():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(
        2, 3, 64, 96, dtype=torch.float64, generator=generator)


def test_raw_is_what_the_detector_gives(detector, image):
    expected = [x for kind in detector(image, mode='tensor') for x in kind]
    found = as_contract(fuse(detector), 'raw')(image)
    assert len(found) == len(output_names('raw', STRIDES)) == 6
    for one, two in zip(found, expected):
        assert relative_error(one, two) <= 1e-10


def test_decoded(detector, image):
    raw = as_contract(detector, 'raw')(image)
    boxes, scores = as_contract(detector, 'decoded')(image)
    assert boxes.shape == (2, 96 + 24 + 6, 4)
    for index in range(2):
        logits = np.concatenate(
            [x[index].flatten(1).numpy() for x in raw[:3]], 1)
        assert np.allclose(scores[index].T, sigmoid(logits), atol=1e-12)
        expected = decode([x[index].numpy() for x in raw[3:]], STRIDES)
        assert np.allclose(boxes[index], expected, atol=1e-4)


def test_cells_are_not_mixed_up(detector, image):
    """Rows before columns, x before y: boxes surround their cells."""
    boxes, _ = as_contract(detector, 'decoded')(image)
    x, y = np.meshgrid(np.arange(12) * 8 + 4, np.arange(8) * 8 + 4)
    first = boxes[0, :96].numpy().reshape(8, 12, 4)
    assert (first[..., 0] <= x).all()
    assert (x <= first[..., 2]).all()
    assert (first[..., 1] <= y).all()
    assert (y <= first[..., 3]).all()
