"""Greedy non-maximum suppression, for an mmcv without compiled operators."""
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


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Indices of the boxes (K, 4) that greedy suppression keeps, best first.

    As the compiled operator: a box is dropped when its IoU with a better one
    is above the threshold; ``offset`` is added to widths and heights.
    """
    if boxes.numel() == 0:
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    if offset == 0:
        try:
            from torchvision.ops import nms as compiled
        except Exception:  # a torchvision of another torch fails in many ways
            pass
        else:
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
            for rows in boxes[torch.cat(kept)].split(BLOCK):
                alive &= ~_overlaps_above(rows, block, iou_threshold,
                                          offset).any(0)
        survivors = alive.nonzero().flatten()
        block = block[survivors]
        above = _overlaps_above(block, block, iou_threshold, offset)
        kept.append(survivors[_greedy(above.triu_(diagonal=1))] + start)
    return order[torch.cat(kept)]
