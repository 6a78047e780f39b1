"""The guide maximum against one product and one maximum."""
import pytest
import torch
from packaging.version import Version
from torch import Tensor

from yolo_world_rep.reparam import folding
from yolo_world_rep.reparam import guide_max as module
from yolo_world_rep.reparam.guide_max import guide_max

BATCH, HEADS, GUIDES, WIDTH, POSITIONS = 2, 3, 71, 4, 15


def dense(embed: Tensor, guide: Tensor) -> Tensor:
    """The definition."""
    return torch.matmul(guide, embed).max(dim=-2)[0]


def leaves(per_image: bool = False, guides: int = GUIDES,
           dtype: torch.dtype = torch.float64):
    """Random embeddings and guides that want gradients."""
    generator = torch.Generator().manual_seed(0)
    shape = (HEADS, guides, WIDTH)
    shape = (BATCH, *shape) if per_image else shape
    return [
        torch.randn(size, generator=generator, dtype=dtype).requires_grad_()
        for size in ((BATCH, HEADS, WIDTH, POSITIONS), shape)
    ]


def gradients(function, embed: Tensor, guide: Tensor):
    """Value and both gradients, weighted so that each position counts."""
    peak = function(embed, guide)
    weight = torch.arange(1., peak.numel() + 1).reshape(peak.shape)
    return (peak, *torch.autograd.grad(
        (peak * weight.to(peak.dtype)).sum(), (embed, guide)))


@pytest.fixture(autouse=True)
def no_few_guides(monkeypatch) -> None:
    """Few guides go through the autograd function too."""
    monkeypatch.setattr(module, 'FEW_GUIDES', 0)


@pytest.fixture(params=[1, 7, GUIDES])
def pieces(request, monkeypatch) -> None:
    """Pieces of one guide, of some (the last one smaller), and of all."""
    monkeypatch.setattr(module, 'MIN_PIECE', request.param)
    monkeypatch.setattr(module, 'MAX_PIECE', request.param)


@pytest.mark.parametrize('per_image', [False, True])
def test_values_and_gradients_are_the_dense_ones(pieces, per_image):
    inputs = leaves(per_image)
    for found, expected in zip(
            gradients(guide_max, *inputs), gradients(dense, *inputs)):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(
            guide_max(*inputs), dense(*inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('per_image', [False, True])
def test_gradcheck(pieces, per_image):
    assert torch.autograd.gradcheck(guide_max, leaves(per_image, guides=9))


def test_one_of_equal_guides_gets_the_whole_gradient(pieces):
    embed, guide = leaves(guides=4)
    twice = torch.cat([guide, guide], dim=-2).detach().requires_grad_()
    peak, grad_embed, grad_twice = gradients(guide_max, embed, twice)
    expected = gradients(dense, embed, guide)
    torch.testing.assert_close(peak, expected[0])
    torch.testing.assert_close(grad_embed, expected[1])
    torch.testing.assert_close(
        grad_twice[:, :4] + grad_twice[:, 4:], expected[2])


@pytest.mark.parametrize('frozen', [0, 1])
def test_a_frozen_side_gets_no_gradient_and_keeps_nothing(frozen):
    inputs = leaves()
    inputs[frozen].requires_grad_(False)
    other = inputs[1 - frozen]
    peak = guide_max(*inputs)
    # The frozen side is needed for the other's gradient, never itself.
    saved = [x for x in peak.grad_fn.saved_tensors if x is not None]
    assert not any(x is other for x in saved)
    expected, = torch.autograd.grad(dense(*inputs).sum(), other)
    found, = torch.autograd.grad(peak.sum(), other)
    torch.testing.assert_close(found, expected)


def test_nothing_of_size_n_is_kept_or_made(monkeypatch):
    monkeypatch.setattr(module, 'PRODUCT_BUDGET', 1)
    sizes = []

    def matmul(*args, call=torch.matmul):
        sizes.append(call(*args).numel())
        return call(*args)

    monkeypatch.setattr(torch, 'matmul', matmul)
    embed, guide = leaves(guides=1000)
    peak = guide_max(embed, guide)
    with torch.no_grad():
        guide_max(embed, guide)
    saved = [x.numel() for x in peak.grad_fn.saved_tensors]
    assert max(saved) == max(embed.numel(), guide.numel())
    count = len(sizes)
    peak.sum().backward()
    assert len(sizes) == count
    assert max(sizes) <= BATCH * HEADS * POSITIONS * module.MIN_PIECE


def test_nan_is_not_hidden(pieces):
    embed, guide = leaves()
    guide.data[1, 3] = float('nan')
    for peak in (guide_max(embed, guide),
                 guide_max(embed.detach(), guide.detach())):
        assert peak[:, 1].isnan().all()
        assert not peak[:, 0].isnan().any()


def test_autocast_gives_gradients_in_the_inputs_types():
    inputs = leaves(dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        found = gradients(guide_max, *inputs)
        expected = gradients(dense, *inputs)
    assert found[0].dtype == expected[0].dtype == torch.bfloat16
    for one, other in zip(found[1:], expected[1:]):
        assert one.dtype == torch.float32
        # bfloat16 rounds winners apart now and then, hence in the mean.
        assert (one - other).norm() < 0.1 * other.norm()


def test_gate_takes_any_memory_format():
    torch.manual_seed(0)
    embed = torch.randn(2, 12, 5, 7, dtype=torch.float64)
    guide = torch.randn(3, 40, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for memory in (torch.contiguous_format, torch.channels_last):
        x = embed.contiguous(memory_format=memory).requires_grad_()
        gate = folding.max_sigmoid_gate(x, guide, torch.zeros(3).double())
        found.append((gate, *torch.autograd.grad(gate.sum(), (x, guide))))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('grad', [False, True])
@pytest.mark.parametrize('guides, pieces', [(1000, 1), (9000, 3)])
def test_a_traced_graph_has_few_pieces(guides, pieces, grad):
    embed, guide = leaves(guides=guides)
    with torch.set_grad_enabled(grad):
        traced = torch.jit.trace(guide_max, (embed, guide))
    kinds = [node.kind() for node in traced.inlined_graph.nodes()]
    assert kinds.count('aten::matmul') == kinds.count('aten::amax') == pieces
    # No arg-max is left in what a runtime gets.
    assert 'aten::max' not in kinds
    torch.testing.assert_close(traced(embed, guide), dense(embed, guide))


@pytest.mark.skipif(
    Version(torch.__version__) < Version('2.6'),
    reason='an older torch compiles no autograd function into one graph')
def test_compiled_as_one_graph():
    compiled = torch.compile(guide_max, backend='eager', fullgraph=True)
    inputs = leaves()
    for found, expected in zip(
            gradients(compiled, *inputs), gradients(dense, *inputs)):
        torch.testing.assert_close(found, expected)


def test_few_guides_are_one_product_in_training(monkeypatch):
    embed, guide = leaves()
    monkeypatch.setattr(module, 'FEW_GUIDES', GUIDES)
    assert 'GuideMax' not in type(guide_max(embed, guide).grad_fn).__name__
    monkeypatch.setattr(module, 'FEW_GUIDES', GUIDES - 1)
    assert 'GuideMax' in type(guide_max(embed, guide).grad_fn).__name__


def test_gradients_of_guides_are_summed_precisely():
    dtype = torch.bfloat16  # an older torch multiplies no float16 on CPUs
    embed = torch.rand(1, 1, 4, 5000).to(dtype)
    guide = torch.eye(4)[None, :1].to(dtype).requires_grad_()
    guide_max(embed, guide).sum().backward()
    torch.testing.assert_close(
        guide.grad,
        embed.double().sum(-1)[0, :, None].to(dtype),
        rtol=torch.finfo(dtype).eps,
        atol=0.)
