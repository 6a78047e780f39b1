"""The product with the guides and its maximum as one kernel for GPUs.

The N-sized product lives in registers, a tile at a time, and is never
written. Which guide wins comes along for the backward pass.

The environment variable ``YOLO_WORLD_REP_TRITON=1`` asks for it. Then, for
each new kind of input, both ways are run once, compared and timed, and the
kernel is used where it agrees and is faster. The log says which. The choice
may differ between two runs, and their last digits do then.

Shape suffixes as in :mod:`yolo_world_rep.reparam.folding`.
"""
import logging
import os
import statistics
from typing import Callable, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

from yolo_world_rep.utils.log import log

ENABLE = 'YOLO_WORLD_REP_TRITON'
TYPES = (torch.float32, torch.float16, torch.bfloat16)
ROUNDS = 10
# Relative to the products' range: the two ways sum in different orders.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
# Positions and guides of a tile; Triton multiplies at least 16.
TILE = 64
MIN_WIDTH = 16

Winners = Callable[[Tensor, Tensor], Tuple[Tensor, Tensor]]


class Kind(NamedTuple):
    """What the choice depends on; sizes to the next power of two."""
    device: torch.device
    dtype: torch.dtype
    sets: int
    positions: int
    guides: int
    width: int


_chosen: Dict[Kind, bool] = {}


def _is_asked_for() -> bool:
    return os.environ.get(ENABLE) == '1'


def operands(embed_BMdS: Tensor, guide_MNd: Tensor) -> Tuple[Tensor, Tensor]:
    """Both in the type that autocast, where it is on, would multiply them in.

    Unchanged where the kernel is not asked for.
    """
    if not (_is_asked_for() and embed_BMdS.is_cuda
            and torch.is_autocast_enabled()):
        return embed_BMdS, guide_MNd
    # torch 2.4 added the first and deprecated the second.
    dtype = torch.get_autocast_dtype('cuda') if hasattr(
        torch, 'get_autocast_dtype') else torch.get_autocast_gpu_dtype()
    return embed_BMdS.to(dtype), guide_MNd.to(dtype)


def is_chosen(embed_BMdS: Tensor, guide_MNd: Tensor, dense: Winners) -> bool:
    """Whether the kernel is asked for, agrees with ``dense`` and is faster.

    Guides are (M, N, d) or (B, M, N, d).
    """
    if (not _is_asked_for() or not embed_BMdS.is_cuda
            or embed_BMdS.dtype not in TYPES
            or guide_MNd.dtype != embed_BMdS.dtype):
        return False
    batch, heads, width, positions = embed_BMdS.shape
    sets, columns, guides = (
        1 << (size - 1).bit_length()
        for size in (batch * heads, positions, guide_MNd.shape[-2]))
    kind = Kind(embed_BMdS.device, embed_BMdS.dtype, sets, columns, guides,
                width)
    if kind not in _chosen:
        with torch.no_grad():
            _chosen[kind] = _try(kind, embed_BMdS, guide_MNd, dense)
    return _chosen[kind]


def _try(kind: Kind, embed_BMdS: Tensor, guide_MNd: Tensor,
         dense: Winners) -> bool:
    """Compare both ways and time them."""
    worst, allowed = disagreement(embed_BMdS, guide_MNd, dense)
    if not worst <= allowed:
        log(f'Guide maximum, {kind}: the Triton kernel is off by {worst:.3g} '
            f'({allowed:.3g} allowed) and is not used.', logging.WARNING)
        return False
    kernel, other = (_milliseconds(way, embed_BMdS, guide_MNd)
                     for way in (winners, dense))
    log(f'Guide maximum, {kind}: {kernel:.3f} ms by the Triton kernel, '
        f'{other:.3f} ms by a product and a maximum.')
    return kernel < other


def disagreement(embed_BMdS: Tensor, guide_MNd: Tensor,
                 dense: Winners) -> Tuple[float, float]:
    """Largest difference of the maxima, and what rounding may cause.

    Winners are compared by their products: of guides that tie, either may win.
    """
    expected_BMS, _ = dense(embed_BMdS, guide_MNd)
    peak_BMS, winner_BMS = winners(embed_BMdS, guide_MNd)
    if guide_MNd.dim() == 3:
        guide_MNd = guide_MNd.expand(len(embed_BMdS), *guide_MNd.shape)
    picked_BMSd = guide_MNd.gather(
        2, winner_BMS[..., None].expand(*winner_BMS.shape,
                                        guide_MNd.shape[-1]))
    product_BMS = (picked_BMSd * embed_BMdS.transpose(-1, -2)).sum(-1)
    worst = max(
        float((found - expected_BMS).abs().max())
        for found in (peak_BMS, product_BMS))
    size = embed_BMdS.norm(dim=2).max() * guide_MNd.norm(dim=-1).max()
    # TF32 has the digits of float16.
    kind = torch.float16 if embed_BMdS.dtype == torch.float32 and (
        _uses_tf32()) else embed_BMdS.dtype
    return worst, TOLERANCE[kind] * float(size)


def _uses_tf32() -> bool:
    """Whether products of float32 on the GPU are rounded to TF32 first."""
    settings = torch.backends.cuda.matmul
    try:
        return settings.fp32_precision == 'tf32'
    except (AttributeError, AssertionError):
        # Before torch 2.9, whose settings assert that they know a name. From
        # then on, the other may refuse to answer.
        return settings.allow_tf32


def _milliseconds(way: Winners, *inputs: Tensor) -> float:
    """Median time of a way on the GPU."""
    taken = []
    for _ in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        way(*inputs)
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end))
    return statistics.median(taken)


def winners(embed_BMdS: Tensor, guide_MNd: Tensor) -> Tuple[Tensor, Tensor]:
    """Maxima and numbers (int64) of their guides, (B, M, S), by the kernel.

    Guides are (M, N, d) or (B, M, N, d). Float32 is multiplied in full
    precision unless torch is told to use TF32 for matrix products. Where a
    product is NaN the maximum is NaN.
    """
    try:
        from .guide_max_kernel import kernel
    except ImportError as error:
        raise ImportError(
            f'{ENABLE}=1 needs Triton ({error}), which comes with torch for '
            f'CUDA: pip install triton, or unset {ENABLE}.') from error
    batch, heads, width, positions = embed_BMdS.shape
    # One set for all images has stride 0 between them.
    steps = guide_MNd.stride() if guide_MNd.dim() == 4 else (
        0, *guide_MNd.stride())
    peak_BMS = embed_BMdS.new_empty(batch, heads, positions)
    winner_BMS = torch.empty_like(peak_BMS, dtype=torch.int64)
    grid = (-(-positions // TILE), batch * heads)
    kernel[grid](
        embed_BMdS, guide_MNd, peak_BMS, winner_BMS, heads, positions,
        guide_MNd.shape[-2], width, *embed_BMdS.stride(), *steps,
        WIDTH=max(MIN_WIDTH, 1 << (width - 1).bit_length()),
        TILE_S=TILE, TILE_N=TILE,
        PRECISION='tf32' if _uses_tf32() else 'ieee')
    return peak_BMS, winner_BMS
