"""The stand-in for mmcv's compiled operators."""
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_world_rep.compat import install_mmcv_ops, mmcv_ops, nms


def greedy(boxes, scores, threshold, offset):
    """Non-maximum suppression by its definition, one pair at a time."""
    kept = []
    for index in np.argsort(-scores, kind='stable'):
        for better in kept:
            low = np.maximum(boxes[index, :2], boxes[better, :2])
            high = np.minimum(boxes[index, 2:], boxes[better, 2:])
            inter = np.prod(np.clip(high - low + offset, 0, None))
            areas = [
                np.prod(boxes[i, 2:] - boxes[i, :2] + offset)
                for i in (index, better)
            ]
            union = sum(areas) - inter
            if union > 0 and inter / union > threshold:
                break
        else:
            kept.append(int(index))
    return kept


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.sampled_from([0.1, 0.45, 0.7]), st.booleans(),
    st.integers(0, 2**16))
def test_nms_is_greedy(count, threshold, offset, seed):
    rng = np.random.default_rng(seed)
    # Whole pixels: ties, equal boxes and empty boxes are common.
    corners = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate(
        [corners, corners + rng.integers(0, 8, (count, 2))], 1).astype(float)
    scores = rng.permutation(count) / count
    found = nms.nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), threshold,
        int(offset))
    assert found.tolist() == greedy(boxes, scores, threshold, int(offset))


def test_nms_across_blocks(monkeypatch):
    """The result does not depend on how many boxes are compared at once."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 60
    boxes = torch.cat(
        [corners, corners + torch.rand(300, 2, generator=generator) * 30], 1)
    scores = torch.rand(300, generator=generator)
    whole = nms.nms(boxes, scores, 0.5, 0)
    monkeypatch.setattr(nms, 'BLOCK', 7)
    assert nms.nms(boxes, scores, 0.5, 0).tolist() == whole.tolist()
    assert 0 < len(whole) < 300


def test_nms_edges():
    """No boxes; two empty boxes, whose overlap is 0/0, both stay."""
    empty = nms.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, 0)
    assert empty.tolist() == []
    assert empty.dtype == torch.long
    points = torch.zeros(2, 4)
    scores = torch.tensor([0.5, 0.9])
    assert nms.nms(points, scores, 0.5, 0).tolist() == [1, 0]


def test_the_rest_raises_when_called():
    import mmcv._ext as ext
    if not isinstance(ext, mmcv_ops._MissingExtension):
        pytest.skip('a compiled mmcv is installed, the stand-in is not used')
    with pytest.raises(NotImplementedError, match='softnms.*compiled mmcv'):
        ext.softnms()


def test_installed_once_and_last():
    """A really compiled extension is found before the stand-in."""
    install_mmcv_ops()
    ours = [
        finder for finder in sys.meta_path
        if type(finder).__module__ == mmcv_ops.__name__
    ]
    assert len(ours) == 1
    assert ours[0].find_spec('mmcv.ops') is None
