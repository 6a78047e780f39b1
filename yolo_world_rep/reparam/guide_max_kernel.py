"""The kernel of :mod:`.guide_max_triton`; importing it needs Triton."""
import triton
import triton.language as tl


@triton.jit
def kernel(embed, guide, peak, winner, heads, positions, guides, width,
           embed_b, embed_m, embed_d, embed_s, guide_b, guide_m, guide_n,
           guide_d, WIDTH: tl.constexpr, TILE_S: tl.constexpr,
           TILE_N: tl.constexpr, PRECISION: tl.constexpr):
    b = tl.program_id(1) // heads
    m = tl.program_id(1) % heads
    s = tl.program_id(0) * TILE_S + tl.arange(0, TILE_S)
    d = tl.arange(0, WIDTH)
    embed_SD = tl.load(
        embed + b * embed_b + m * embed_m + s[:, None] * embed_s
        + d[None, :] * embed_d,
        mask=(s[:, None] < positions) & (d[None, :] < width),
        other=0.)
    best = tl.full((TILE_S, ), float('-inf'), tl.float32)
    which = tl.zeros((TILE_S, ), tl.int64)
    nans = tl.zeros((TILE_S, ), tl.int32)
    for start in range(0, guides, TILE_N):
        n = start + tl.arange(0, TILE_N)
        guide_DN = tl.load(
            guide + b * guide_b + m * guide_m + n[None, :] * guide_n
            + d[:, None] * guide_d,
            mask=(n[None, :] < guides) & (d[:, None] < width),
            other=0.)
        product = tl.dot(embed_SD, guide_DN, input_precision=PRECISION)
        inside = n[None, :] < guides
        # Triton's maximum ignores NaN.
        nans += tl.sum(((product != product) & inside).to(tl.int32), axis=1)
        product = tl.where(
            inside & (product == product), product, float('-inf'))
        top = tl.max(product, axis=1)
        place = tl.argmax(product, axis=1)
        which = tl.where(top > best, start + place, which)
        best = tl.maximum(best, top)
    best = tl.where(nans > 0, float('nan'), best)
    out = tl.program_id(1) * positions + s
    tl.store(peak + out, best.to(peak.dtype.element_ty), mask=s < positions)
    tl.store(winner + out, which, mask=s < positions)
