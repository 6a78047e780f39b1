"""Masks from coefficients and prototypes, as torch computes them."""
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.letterbox import letterbox
from yolo_world_rep.inference.postprocess import PostProcess
from yolo_world_rep.inference.prototypes import decode_mask, encoded_masks

SIZE = (96, 160)
STRIDE = 4


def inputs(seed=0, count=9, channels=5):
    """Coefficients, smooth prototypes and boxes with broken corners."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(count, channels)) * 3
    prototypes = interpolate(
        torch.from_numpy(rng.normal(size=(1, channels, 6, 10))),
        (SIZE[0] // STRIDE, SIZE[1] // STRIDE),
        mode='bilinear')[0].numpy()
    near = rng.random((count, 2)) * (SIZE[1] // 2, SIZE[0] // 2) - 5
    boxes = np.concatenate(
        [near, near + 20 + 60 * rng.random((count, 2))], 1)
    return [x.astype('f4') for x in (coefficients, prototypes, boxes)]


def by_definition(coefficients, prototypes, boxes, placement, threshold=0.5):
    """In float64, pixel by pixel where it is a decision."""
    shares = (torch.from_numpy(coefficients).double()
              @ torch.from_numpy(prototypes).double().flatten(1)).sigmoid()
    shares = shares.unflatten(1, prototypes.shape[1:])[None]
    shares = interpolate(shares, SIZE, mode='bilinear')[0]
    for share, (x1, y1, x2, y2) in zip(shares, boxes):
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                if not (x1 <= x < x2 and y1 <= y < y2):
                    share[y, x] = 0
    left, top = placement.pad
    shares = shares[:, top:SIZE[0] - top, left:SIZE[1] - left]
    return (interpolate(shares[None], placement.shape, mode='bilinear')[0] >
            threshold).numpy()


@pytest.mark.parametrize('shape', [(75, 201), (333, 121), (96, 160), (48, 50)])
def test_masks_are_those_of_the_definition(shape):
    placement = letterbox(np.zeros((*shape, 3), np.uint8), SIZE)[1]
    values = inputs()
    found = np.stack([
        decode_mask(counts, shape) for counts in encoded_masks(
            *values, placement, STRIDE, 0.5)
    ])
    expected = by_definition(*values, placement)
    assert found.shape == expected.shape == (9, *shape)
    assert 0.01 < expected.mean() < 0.9
    assert (found ^ expected).sum() <= 1e-3 * expected.sum()
    # What is wrong by a little is off by far more.
    left, top = placement.pad
    wrong = [
        by_definition(*values, placement._replace(pad=(left + 1, top + 1))),
        by_definition(*values, placement, 0.4),
        by_definition(*values[:2], values[2] + 1, placement),
        by_definition(values[0], values[1].transpose(0, 2, 1).reshape(
            values[1].shape), values[2], placement),
    ]
    for twin in wrong:
        assert (found ^ twin).sum() > 1e-2 * expected.sum()


def test_nothing_found_and_nothing_left_of_a_box():
    placement = letterbox(np.zeros((75, 201, 3), np.uint8), SIZE)[1]
    coefficients, prototypes, boxes = inputs()
    assert len(encoded_masks(coefficients[:0], prototypes, boxes[:0],
                             placement, STRIDE, 0.5)) == 0
    boxes[:] = (-30, -30, -10, -10)
    for counts in encoded_masks(coefficients, prototypes, boxes, placement,
                                STRIDE, 0.5):
        assert not decode_mask(counts, (75, 201)).any()


@pytest.mark.parametrize('place', [-1, -2])
def test_no_numbers_are_refused(place):
    spec = Spec(('a', ), SIZE, mask_channels=5)
    placement = letterbox(np.zeros((75, 201, 3), np.uint8), SIZE)[1]
    outputs = [
        np.array([[[10, 10, 50, 40]]], 'f4'),
        np.full((1, 1, 1), 0.9, 'f4'),
        np.zeros((1, 1, 5), 'f4'),
        np.zeros((1, 5, 24, 40), 'f4')
    ]
    assert PostProcess(spec)(outputs, [placement])[0].masks is not None
    outputs[place].flat[0] = np.nan
    with pytest.raises(ValueError, match='no finite number'):
        PostProcess(spec)(outputs, [placement])
