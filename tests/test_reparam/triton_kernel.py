"""The Triton kernel; test_guide_max_triton.py runs this.

By itself, in the interpreter: TRITON_INTERPRET=1 python -m pytest <this file>;
without the variable on a GPU.
"""
import os

import pytest
import torch

from yolo_world_rep.reparam import guide_max_triton as module
from yolo_world_rep.reparam.guide_max import _winners_of_pieces, guide_max

DEVICE = 'cpu' if os.environ.get('TRITON_INTERPRET') == '1' else 'cuda'
# The interpreter computes as NumPy does, which has no bfloat16.
HALF = [torch.float16] if DEVICE == 'cpu' else [torch.float16, torch.bfloat16]


@pytest.fixture(autouse=True)
def _device():
    torch.manual_seed(0)
    with torch.device(DEVICE):
        yield


@pytest.mark.parametrize('width', [8, 32, 40])
@pytest.mark.parametrize(('guides', 'positions'), [(1, 1), (70, 90),
                                                   (64, 64), (131, 65)])
@pytest.mark.parametrize('sets', [(), (2, )], ids=['one set', 'an image'])
def test_agrees_with_the_dense_form(sets, guides, positions, width):
    embed = torch.randn(2, positions, 3, width).permute(0, 2, 3, 1)
    guide = torch.randn(*sets, 3, guides, width)
    worst, allowed = module.disagreement(embed, guide, _winners_of_pieces)
    assert worst <= allowed
    # A wrong twin: guides of other heads.
    wrong = guide.roll(1, dims=-3)
    worst, allowed = module.disagreement(
        embed, guide, lambda e, g: _winners_of_pieces(e, wrong))
    assert worst > 100 * allowed


@pytest.mark.parametrize('dtype', HALF, ids=str)
def test_half_precision(dtype):
    embed, guide = torch.randn(1, 2, 32, 50), torch.randn(2, 80, 32)
    embed, guide = embed.to(dtype), guide.to(dtype)
    peak, winner = module.winners(embed, guide)
    assert peak.dtype == dtype
    expected = guide_max(embed.float(), guide.float())
    rounding = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        peak.float(), expected, rtol=rounding, atol=rounding)
    picked = guide.float().expand(1, -1, -1, -1).gather(
        2, winner[..., None].expand(-1, -1, -1, 32))
    torch.testing.assert_close(
        (picked * embed.float().mT).sum(-1),
        expected,
        rtol=rounding,
        atol=rounding)


def test_keeps_nan_and_infinity():
    embed, guide = torch.randn(1, 1, 32, 6), torch.randn(1, 80, 32)
    embed[0, 0, 3, 2] = float('nan')
    guide[0, 5] = 0
    guide[0, 5, 0] = float('inf')
    peak, _ = module.winners(embed, guide)
    expected = guide_max(embed, guide)
    torch.testing.assert_close(peak, expected, equal_nan=True)
    assert peak[0, 0, 2].isnan()


def test_gradients(monkeypatch):
    monkeypatch.setattr(module, 'is_chosen', lambda *args: True)
    embed = torch.randn(2, 3, 32, 20, requires_grad=True)
    guide = torch.randn(3, 150, 32, requires_grad=True)
    weight = torch.randn(2, 3, 20)
    (guide_max(embed, guide) * weight).sum().backward()
    found = embed.grad, guide.grad
    embed.grad = guide.grad = None
    (torch.matmul(guide, embed).amax(-2) * weight).sum().backward()
    torch.testing.assert_close(found, (embed.grad, guide.grad))


@pytest.mark.skipif(DEVICE == 'cpu', reason='autocast of GPUs')
def test_under_autocast(monkeypatch):
    chosen = []
    monkeypatch.setattr(
        module, 'is_chosen',
        lambda embed, guide, dense: chosen.append(guide.dtype) or True)
    embed = torch.randn(2, 3, 32, 20, requires_grad=True)
    guide = torch.randn(3, 150, 32, requires_grad=True)
    with torch.autocast('cuda'):
        peak = guide_max(embed, guide)
    assert peak.dtype == torch.float16
    peak.float().sum().backward()
    assert embed.grad.dtype == guide.grad.dtype == torch.float32
    with torch.no_grad(), torch.autocast('cuda'):
        assert guide_max(embed, guide).dtype == torch.float16
    assert chosen == [torch.float16] * 2
