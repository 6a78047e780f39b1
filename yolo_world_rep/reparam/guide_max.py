"""The largest product of each position with any of the guides.

``max_n ⟨e, g_n⟩`` is all that the neck's attention takes from its N guides.
Differentiating a product and a maximum as such costs two more products of
size N, though one guide a position has a gradient. Here the forward pass
keeps which one that is, and the backward pass gathers and adds rows. The
N-sized product exists a piece at a time in training as in inference.

Shape suffixes as in :mod:`yolo_world_rep.reparam.folding`.
"""
from typing import Any, Iterator, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import guide_max_triton

# Up to here, training takes one product and one maximum. Measured on CPU cores
# with the sizes of the S model: on two threads both ways are about even around
# here, and from some hundred guides on the pieces win. On a GPU, too, few
# guides are faster this way.
FEW_GUIDES = 100
# Elements of the product that exist at a time: 32 MiB in float32.
PRODUCT_BUDGET = 2**23
# A piece has no fewer guides than a guide has channels, as a rule, so that
# it is never much larger than the embeddings themselves.
MIN_PIECE = 32
# Nor more than this: on a CPU, larger pieces leave the cache and are slower.
MAX_PIECE = 256
# A GPU wants few large pieces: 512 MiB in float32. On an H100 the forward pass
# of a training takes a third of the time that it takes with those of a CPU.
GPU_BUDGET = 2**27
# In a recorded graph each piece is an operator of its own, so there are few.
RECORDED_PIECE = 4096


def guide_max(embed_BMdS: Tensor, guide_MNd: Tensor) -> Tensor:
    """max_n ⟨e_m, g_mn⟩ of each head and position.

    Of guides that tie, one gets the whole gradient; which one is not defined,
    as in ``torch.max``. In a compiled graph and in training with few guides
    this is one product and one maximum; in a traced or exported graph, one
    for each few thousand guides.

    Args:
        embed_BMdS (Tensor): Image embeddings by heads.
        guide_MNd (Tensor): Guides, (M, N, d), or (B, M, N, d) for one set
            per image.

    Returns:
        Tensor: Maxima, (B, M, S).
    """
    # A tracer runs its check without gradients, and expects the same graph.
    differentiate = torch.is_grad_enabled() and not _is_traced() and (
        embed_BMdS.requires_grad or guide_MNd.requires_grad)
    if differentiate:
        if guide_MNd.shape[-2] > FEW_GUIDES and not _is_recorded():
            return _GuideMax.apply(embed_BMdS, guide_MNd)
        # max returns indices as well, so that the backward pass need not
        # keep the N-sized product as amax would.
        return torch.matmul(guide_MNd, embed_BMdS).max(dim=-2)[0]
    if not _is_recorded():
        found = _winners_of_kernel(embed_BMdS, guide_MNd)
        if found is not None:
            return found[0]
    peak_BMS: Optional[Tensor] = None
    for _, piece_MNd in _pieces(embed_BMdS, guide_MNd):
        piece_BMS = torch.matmul(piece_MNd, embed_BMdS).amax(dim=-2)
        peak_BMS = piece_BMS if peak_BMS is None else torch.maximum(
            peak_BMS, piece_BMS)
    assert peak_BMS is not None  # there is a piece
    return peak_BMS


def _is_traced() -> bool:
    return torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()


def _is_recorded() -> bool:
    """Whether a graph is being traced, compiled or exported."""
    compiler = getattr(torch, 'compiler', None)
    is_compiling = getattr(compiler, 'is_compiling', None)
    return _is_traced() or (is_compiling is not None and is_compiling())


def _pieces(embed_BMdS: Tensor,
            guide_MNd: Tensor) -> Iterator[Tuple[int, Tensor]]:
    """Guides a piece at a time, with the number of the first one."""
    if _is_recorded():
        size = RECORDED_PIECE
    else:
        batch, heads, _, positions = embed_BMdS.shape
        budget, largest = (GPU_BUDGET, RECORDED_PIECE) if (
            embed_BMdS.is_cuda) else (PRODUCT_BUDGET, MAX_PIECE)
        size = budget // max(1, batch * heads * positions)
        size = min(max(size, MIN_PIECE), largest)
    # A graph should not hold a split into one piece.
    pieces = [guide_MNd] if guide_MNd.shape[-2] <= size else (
        guide_MNd.split(size, dim=-2))
    for number, piece_MNd in enumerate(pieces):
        yield number * size, piece_MNd


def _winners_of_kernel(embed_BMdS: Tensor, guide_MNd: Tensor
                       ) -> Optional[Tuple[Tensor, Tensor]]:
    """Maxima and their guides, (B, M, S), by the kernel if it is chosen."""
    operands = guide_max_triton.operands(embed_BMdS, guide_MNd)
    if guide_max_triton.is_chosen(*operands, _winners_of_pieces):
        return guide_max_triton.winners(*operands)
    return None


def _winners_of_pieces(embed_BMdS: Tensor,
                       guide_MNd: Tensor) -> Tuple[Tensor, Tensor]:
    """The same by products and maxima, some guides at a time."""
    embed_BMSd = embed_BMdS.transpose(-1, -2)
    peak_BMS: Optional[Tensor] = None
    winner_BMS: Optional[Tensor] = None
    for start, piece_MNd in _pieces(embed_BMdS, guide_MNd):
        # The maximum runs along contiguous memory in this order.
        product_BMSN = torch.matmul(embed_BMSd, piece_MNd.transpose(-1, -2))
        value_BMS, index_BMS = product_BMSN.max(dim=-1)
        if peak_BMS is None or winner_BMS is None:
            peak_BMS, winner_BMS = value_BMS, index_BMS
            continue
        winner_BMS = torch.where(value_BMS > peak_BMS, index_BMS + start,
                                 winner_BMS)
        # Unlike the comparison, this one keeps NaN.
        peak_BMS = torch.maximum(peak_BMS, value_BMS)
    assert peak_BMS is not None  # there is a piece
    assert winner_BMS is not None
    return peak_BMS, winner_BMS


class _GuideMax(torch.autograd.Function):
    """:func:`guide_max` with the backward pass of the winners alone."""

    @staticmethod
    def forward(ctx: Any, embed_BMdS: Tensor, guide_MNd: Tensor) -> Tensor:
        peak_BMS, winner_BMS = _winners_of_kernel(
            embed_BMdS, guide_MNd) or _winners_of_pieces(embed_BMdS, guide_MNd)
        embed_grad, guide_grad = ctx.needs_input_grad
        ctx.guide_shape, ctx.guide_dtype = guide_MNd.shape, guide_MNd.dtype
        ctx.embed_dtype = embed_BMdS.dtype
        ctx.save_for_backward(winner_BMS, embed_BMdS if guide_grad else None,
                              guide_MNd if embed_grad else None)
        return peak_BMS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BMS: Tensor
                 ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Gradients of both, in their own types regardless of autocast."""
        winner_BMS, embed_BMdS, guide_MNd = ctx.saved_tensors
        *sets, num_guides, width = ctx.guide_shape
        # Guides of all heads (and images) as rows of one matrix.
        num_rows = torch.Size(sets).numel() * num_guides
        offset = torch.arange(0, num_rows, num_guides,
                              device=winner_BMS.device).reshape(*sets, 1)
        rows = (winner_BMS + offset).flatten()
        grad_BMS1 = grad_BMS[..., None]
        grad_embed, grad_guide = None, None
        if guide_MNd is not None:
            guide_BMSd = guide_MNd.reshape(-1, width).index_select(
                0, rows).reshape(*winner_BMS.shape, width)
            grad_embed = (guide_BMSd * grad_BMS1).transpose(-1, -2).to(
                ctx.embed_dtype)
        if embed_BMdS is not None:
            # A guide may win at thousands of positions: too long a sum for
            # half precision.
            source = (embed_BMdS.transpose(-1, -2) * grad_BMS1).reshape(
                -1, width).to(
                    torch.promote_types(ctx.guide_dtype, torch.float32))
            grad_guide = source.new_zeros(num_rows, width).scatter_add_(
                0, rows[:, None].expand(-1, width), source)
            grad_guide = grad_guide.reshape(ctx.guide_shape).to(
                ctx.guide_dtype)
        return grad_embed, grad_guide
