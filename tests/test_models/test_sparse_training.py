"""Guide maximum and sparse losses in the surroundings of a training."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders import detector_cfg
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from two_ranks import Loss, batch_of

TESTS = Path(__file__).resolve().parents[1]
SIZES = ((8, 12), (4, 6), (2, 3))
REG_MAX = 16
NUM_CLASSES = 130
# Image, class, x1, y1, x2, y2.
BOXES = torch.tensor([[0, 1, 3, 2, 60, 40], [0, 120, 10, 8, 90, 60],
                      [1, 77, 20, 20, 50, 62.]])


def head(sparse: bool) -> torch.nn.Module:
    """A head that only its losses are asked for."""
    init_default_scope('mmyolo')
    cfg = detector_cfg('rep_conv', num_classes=NUM_CLASSES)
    return MODELS.build(
        ConfigDict({
            **cfg['bbox_head'], 'type': 'RepYOLOWorldHead',
            'sparse_targets': sparse,
            'train_cfg': cfg['train_cfg'],
            'test_cfg': cfg['test_cfg']
        }))


def inputs(dtype=torch.float32, memory=torch.contiguous_format):
    """Logits and box distributions of all levels that want gradients."""
    generator = torch.Generator().manual_seed(0)
    logits, dists = [], []
    for height, width in SIZES:
        level = torch.randn(
            2, NUM_CLASSES, height, width, generator=generator) - 2
        logits.append(level.to(dtype).to(memory_format=memory))
        dists.append(
            torch.randn(2, height * width, 4, REG_MAX,
                        generator=generator).to(dtype))
    return [[x.requires_grad_() for x in levels] for levels in (logits, dists)]


def loss_of(module, logits, dists):
    """The sum of the losses."""
    means = []
    for dist, (height, width) in zip(dists, SIZES):
        mean = dist.softmax(-1) @ torch.arange(REG_MAX).to(dist)
        means.append(mean.transpose(1, 2).reshape(-1, 4, height, width))
    return sum(
        module.loss_by_feat(logits, means, dists, BOXES,
                            [dict(), dict()]).values())


def gradients(loss, *levels):
    """The loss and its gradients."""
    return (loss, *torch.autograd.grad(loss, [x for xs in levels for x in xs]))


def test_channels_last_logits():
    module = head(True)
    plain, last = (
        inputs(memory=memory)
        for memory in (torch.contiguous_format, torch.channels_last))
    found = gradients(loss_of(module, *last), *last)
    expected = gradients(loss_of(module, *plain), *plain)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert all(
        x.is_contiguous(memory_format=torch.channels_last)
        for x in found[1:4])


def test_autocast():
    """As mmyolo's losses of the same bfloat16 logits."""
    levels = inputs(torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        found = gradients(loss_of(head(True), *levels), *levels)
        expected = gradients(loss_of(head(False), *levels), *levels)
    for one, other in zip(found, expected):
        # bfloat16 has three decimals, and gradients of all are of one size.
        scale = float(other.float().abs().max())
        torch.testing.assert_close(
            one.float(), other.float(), rtol=0, atol=0.01 * scale)
    assert all(x.dtype == torch.bfloat16 for x in found[1:])


@pytest.mark.slow
def test_compiled():
    module = head(True)
    levels = inputs()
    compiled = torch.compile(loss_of, backend='aot_eager')
    found = gradients(compiled(module, *levels), *levels)
    expected = gradients(loss_of(module, *levels), *levels)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_two_processes_have_the_gradients_of_one(tmp_path):
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [
            sys.executable, '-m', 'torch.distributed.run', '--standalone',
            '--nproc_per_node=2',
            str(TESTS / 'two_ranks.py'),
            str(tmp_path)
        ],
        env={
            **os.environ, 'PYTHONPATH': path,
            'OMP_NUM_THREADS': '1',
            'NO_ALBUMENTATIONS_UPDATE': '1'
        },
        capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [
        torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)
    ]
    images, boxes = zip(*map(batch_of, range(2)))
    own = [gradients_of(*batch) for batch in zip(images, boxes)]
    boxes[1][:, 0] += len(images[0])
    expected = gradients_of(torch.cat(images), torch.cat(boxes))
    floor = 1e-6 * max(float(g.abs().max()) for g in expected.values())
    worst = twin = 0.
    for name, gradient in expected.items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        size = max(float(gradient.abs().max()), floor)
        worst = max(worst,
                    float((ranks[0][name] - gradient).abs().max()) / size)
        # The wrong twin: processes that do not know of each other's sums.
        mean = own[0][name] + own[1][name]
        twin = max(twin, float((mean - gradient).abs().max()) / size)
    # The scores of the targets are float32 on the way.
    assert worst < 1e-6, worst
    assert twin > 0.1


def gradients_of(images, boxes):
    """Of all parameters, in this process."""
    model = Loss()
    model(images, boxes).backward()
    return {k: p.grad for k, p in model.named_parameters()}
