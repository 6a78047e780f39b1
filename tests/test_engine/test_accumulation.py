"""Gradients of several batches, and mixed precision on a CPU."""
import pytest
import torch
from mmengine.optim import OptimWrapper
from tiny_training import SIDE, build_model, options, read_config
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.engine import CPUAmpOptimWrapper, resolve_variables


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    cfg = read_config()
    cfg.merge_from_dict(options(tmp_path_factory.mktemp('none')))
    model = build_model(resolve_variables(cfg)[0]).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()  # else the images of a batch depend on each other
    return model


def make_batch(*numbers):
    """Images of some numbers, each with as many boxes as its number."""
    images, rows = [], []
    for place, number in enumerate(numbers):
        generator = torch.Generator().manual_seed(number)
        images.append(torch.randint(
            0, 256, (3, SIDE, SIDE), generator=generator))
        for label in range(number):
            x, y = torch.rand(2, generator=generator).tolist()
            # Near what an untrained model predicts, so that anchors match.
            x, y = 32 * x - 40, 32 * y - 40
            rows.append([place, label % 3, x, y, x + 110, y + 130])
    return dict(
        inputs=torch.stack(images).float(),
        data_samples=dict(
            bboxes_labels=torch.tensor(rows).reshape(-1, 6),
            img_metas=[dict(batch_input_shape=(SIDE, SIDE))] * len(numbers)))


def loss_of(model, batch):
    """The loss, and the sum of assigned scores it is normalized by."""
    found = []
    handle = model.bbox_head.assigner.register_forward_hook(
        lambda module, inputs, assigned: found.append(
            float(assigned['assigned_scores'].sum().clamp(min=1))))
    losses = model(
        batch['inputs'] / 255, batch['data_samples'], mode='loss')
    handle.remove()
    return model.parse_losses(losses)[0], found[0]


def gradient_of(model):
    return torch.cat(
        [p.grad.flatten().clone() for p in model.parameters()
         if p.grad is not None])


def own_gradient(model, batch):
    model.zero_grad()
    loss, score = loss_of(model, batch)
    loss.backward()
    return gradient_of(model), score


class Watched(torch.optim.SGD):
    """Keeps the gradients of each step; nothing moves."""

    def __init__(self, model):
        super().__init__(model.parameters(), lr=0.)
        self.model, self.seen = model, []

    def step(self, closure=None):
        self.seen.append(gradient_of(self.model))
        super().step(closure)


def close(found, expected):
    return float((found - expected).norm() / expected.norm())


def test_accumulated_gradients_are_the_mean_of_the_batches(model):
    first, second = make_batch(1, 3), make_batch(4, 2)
    a, score_a = own_gradient(model, first)
    b, score_b = own_gradient(model, second)
    wrapper = OptimWrapper(Watched(model), accumulative_counts=2)
    model.zero_grad()
    for batch in (first, second):
        with wrapper.optim_context(model):
            loss, _ = loss_of(model, batch)
        wrapper.update_params(loss)
    accumulated, = wrapper.optimizer.seen
    assert close(accumulated, (a + b) / 2) < 1e-5

    # One batch of all: mmyolo multiplies by the images (4, not 2 and 2) and
    # divides by the assigned scores of all.
    whole, score = own_gradient(model, make_batch(1, 3, 4, 2))
    assert min(score_a, score_b) > 1  # less counts as 1
    assert score == pytest.approx(score_a + score_b, rel=1e-4)
    assert close(whole, 4 / score * (score_a * a + score_b * b) / 2) < 1e-4
    # The wrong twin: neither the mean nor, exactly, the sum.
    assert close(whole, accumulated) > 0.3
    assert close(whole, a + b) > 1e-3


def test_mixed_precision_on_a_cpu_is_bfloat16_and_near(model):
    batch = make_batch(1, 3)
    expected, _ = own_gradient(model, batch)
    wrapper = CPUAmpOptimWrapper(Watched(model))
    kinds = set()
    handles = [
        module.register_forward_hook(
            lambda module, inputs, output: kinds.add(output.dtype))
        for module in model.modules() if isinstance(module, torch.nn.Conv2d)
    ]
    model.zero_grad()
    with wrapper.optim_context(model):
        loss, _ = loss_of(model, batch)
    for handle in handles:
        handle.remove()
    assert kinds == {torch.bfloat16}
    wrapper.update_params(loss)
    found, = wrapper.optimizer.seen
    assert found.dtype == torch.float32
    similarity = torch.nn.functional.cosine_similarity(found, expected, dim=0)
    assert similarity > 0.98
    assert 1e-5 < close(found, expected) < 0.2
