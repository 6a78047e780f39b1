"""Greedy non-maximum suppression, for an mmcv without compiled operators."""
from typing import Callable, Optional

import torch
from torch import Tensor

# Candidates compared at once: bounds the overlap matrix at 1024 x kept.
BLOCK = 1024


def _overlaps_above(boxes_a: Tensor, boxes_b: Tensor, threshold: float,
                    offset: int) -> Tensor:
    """Whether IoU > threshold for each pair, (A, 4) x (B, 4) -> (A, B).

    A 0/0 overlap (two empty boxes) is not above any threshold.
    """

    def area(boxes: Tensor) -> Tensor:
        sides = boxes[:, 2:] - boxes[:, :2] + offset
        return sides[:, 0] * sides[:, 1]

    top_left = torch.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    bottom_right = torch.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    sides = (bottom_right - top_left + offset).clamp_(min=0)
    inter = sides[..., 0] * sides[..., 1]
    union = area(boxes_a)[:, None] + area(boxes_b)[None] - inter
    return inter / union > threshold


def _greedy(above: Tensor) -> Tensor:
    """Which of K boxes, best first, survive: (K, K) -> (K, ) booleans.

    "Alive unless overlapped by a better one that is alive" has one fixed
    point, because ``above`` is strictly upper triangular; each round settles
    at least one more box, in practice all of them within a few rounds.
    """
    alive = torch.ones(len(above), dtype=torch.bool, device=above.device)
    while True:
        settled = ~(above & alive[:, None]).any(0)
        if torch.equal(settled, alive):
            return alive
        alive = settled


def _torchvision_nms() -> Optional[Callable]:
    """torchvision's operator where torchvision works, else None."""
    try:
        from torchvision.ops import nms
    except Exception:  # a torchvision of another torch fails in many ways
        return None
    return nms


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Greedy non-maximum suppression, as the compiled operator does it.

    Args:
        boxes (Tensor): (K, 4), corners in pixels.
        scores (Tensor): (K, ).
        iou_threshold (float): A box is dropped when its IoU with a better
            one that was kept is greater than this.
        offset (int): 0 or 1, added to widths and heights.

    Returns:
        Tensor: Indices of the boxes kept, best first, int64.
    """
    if boxes.numel() == 0:
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    if offset == 0:
        compiled = _torchvision_nms()
        if compiled is not None:
            return compiled(boxes, scores, iou_threshold)
    order = scores.argsort(descending=True, stable=True)
    # Half precision has no room for areas of pixels.
    boxes = boxes[order]
    if boxes.dtype in (torch.float16, torch.bfloat16):
        boxes = boxes.float()
    kept = []
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start:start + BLOCK]
        alive = torch.ones(len(block), dtype=torch.bool, device=boxes.device)
        if kept:
            earlier = boxes[torch.cat(kept)]
            for rows in earlier.split(BLOCK):
                alive &= ~_overlaps_above(rows, block, iou_threshold,
                                          offset).any(0)
        survivors = alive.nonzero().flatten()
        block = block[survivors]
        above = _overlaps_above(block, block, iou_threshold,
                                offset).triu_(diagonal=1)
        kept.append(survivors[_greedy(above)] + start)
    return order[torch.cat(kept)]
