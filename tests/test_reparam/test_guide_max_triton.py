import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yolo_world_rep.reparam import guide_max_triton as module
from yolo_world_rep.reparam.guide_max import _winners_of_pieces

KERNEL = Path(__file__).with_name('triton_kernel.py')


@pytest.mark.parametrize('place', ['interpreter', 'gpu'])
def test_computes_what_the_dense_form_does(place):
    pytest.importorskip(
        'triton', minversion='3.0', reason='no triton 3 (1 GB, not pinned)')
    if place == 'gpu' and not torch.cuda.is_available():
        pytest.skip('torch sees no GPU')
    # The variable counts when Triton is imported.
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider',
         str(KERNEL)],
        cwd=KERNEL.parents[2],
        env={**os.environ,
             'TRITON_INTERPRET': str(int(place == 'interpreter'))},
        capture_output=True,
        text=True)
    if 'only 0-dimensional arrays' in done.stdout:
        pytest.skip('this NumPy is too new for Triton\'s interpreter')
    assert done.returncode == 0, done.stdout[-4000:]


class OnGPU:
    """As much of a tensor as the choice looks at."""
    is_cuda, dtype, device = True, torch.float32, torch.device('cuda')

    def __init__(self, *shape):
        self.shape = shape


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setenv(module.ENABLE, '1')
    monkeypatch.setattr(module, '_chosen', {})
    return OnGPU(1, 4, 32, 6400), OnGPU(4, 1203, 32)


@pytest.mark.parametrize(('kernel', 'dense', 'off_by', 'chosen'), [
    (1., 2., 1e-6, True),
    (2., 1., 1e-6, False),
    (1., 2., 1., False),
    (1., 2., float('nan'), False),
])
def test_chosen_where_it_agrees_and_is_faster(asked, monkeypatch, kernel,
                                              dense, off_by, chosen):
    times = {module.winners: kernel, _winners_of_pieces: dense}
    monkeypatch.setattr(module, '_milliseconds', lambda way, *_: times[way])
    tried = []
    monkeypatch.setattr(
        module, 'disagreement',
        lambda *args: (tried.append(args), (off_by, 1e-5))[1])
    for _ in range(2):
        assert module.is_chosen(*asked, _winners_of_pieces) is chosen
    assert len(tried) == 1


def test_not_unless_asked_for(asked, monkeypatch):
    monkeypatch.delenv(module.ENABLE)
    assert not module.is_chosen(*asked, None)


def test_not_on_a_cpu_or_in_double_precision(asked):
    embed, guide = asked
    guide.dtype = embed.dtype = torch.float64
    assert not module.is_chosen(embed, guide, None)
    assert not module.is_chosen(torch.rand(1, 1, 32, 5), torch.rand(1, 9, 32),
                                None)


@pytest.fixture
def tf32():
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32

    def switch(on):
        settings.allow_tf32 = on

    yield switch
    switch(before)


def test_tf32_may_be_off_by_its_digits(monkeypatch, tf32):
    embed, guide = torch.randn(1, 2, 32, 50), torch.randn(2, 80, 32)
    rounded = guide.half().float()
    monkeypatch.setattr(
        module, 'winners', lambda e, g: _winners_of_pieces(e, rounded))
    for on in (False, True):
        tf32(on)
        worst, allowed = module.disagreement(embed, guide, _winners_of_pieces)
        assert (worst <= allowed) is on
