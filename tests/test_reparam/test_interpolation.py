"""The weights between two checkpoints."""
import numpy as np
import pytest
import torch

from yolo_world_rep.reparam import META_KEY, convert_checkpoint
from yolo_world_rep.reparam.interpolation import (
    interpolate_checkpoints,
    interpolate_state_dict,
)

BEFORE = dict(w=torch.tensor([0., 2.]), n=torch.tensor(3))
AFTER = dict(w=torch.tensor([4., 2.]), n=torch.tensor(9))


@pytest.mark.parametrize(('alpha', 'expected'), [(0, [0, 2]), (0.25, [1, 2]),
                                                 (1, [4, 2])])
def test_on_the_line(alpha, expected):
    found = interpolate_state_dict(BEFORE, AFTER, alpha)
    assert found['w'].tolist() == expected
    assert found['w'].dtype == torch.float32
    assert found['n'] == 9
    assert BEFORE['w'].tolist() == [0, 2]


@pytest.mark.parametrize(('after', 'alpha', 'message'), [
    (AFTER, 1.5, 'alpha=1.5'),
    (dict(AFTER, w=torch.zeros(3)), 0.5, r"\['w'\]"),
    (dict(w=AFTER['w']), 0.5, r"\['n'\]"),
])
def test_refusals(after, alpha, message):
    with pytest.raises(ValueError, match=message):
        interpolate_state_dict(BEFORE, after, alpha)


def test_files(golden_dir, tmp_path):
    """The result can be folded further, and knows where it came from."""
    before = convert_checkpoint(golden_dir / 'v2_bn.pth',
                                golden_dir / 'v2_bn_text.npy', tmp_path,
                                'rep_conv').path
    content = torch.load(before, weights_only=True)
    content['state_dict'] = {
        key: value + 1 if value.is_floating_point() else value
        for key, value in content['state_dict'].items()
    }
    after = tmp_path / 'tuned.pth'
    torch.save(content, after)
    out = interpolate_checkpoints(before, after, 0.5, tmp_path / 'half.pth')
    half = torch.load(out, weights_only=True)
    key = 'bbox_head.head_module.cls_contrasts.0.conv.weight'
    moved = half['state_dict'][key] - torch.load(
        before, weights_only=True)['state_dict'][key]
    np.testing.assert_allclose(moved, 0.5, atol=1e-5)
    about = half['meta'][META_KEY]
    assert about['history'][-1]['alpha'] == 0.5
    assert about['text_layers']
    with pytest.raises(ValueError, match='exists'):
        interpolate_checkpoints(before, after, 0.5, out)
