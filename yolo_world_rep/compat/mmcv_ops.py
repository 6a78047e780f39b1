"""A stand-in for ``mmcv._ext``, the compiled half of mmcv.

``mmdet.models`` and ``mmyolo.models`` import ``mmcv.ops``, which loads the
compiled extension at import. The wheel ``mmcv-lite`` has none, and the
versions of mmcv that mmyolo 0.6 accepts are published as sources only. A
YOLO needs one operator of it, non-maximum suppression.

It can go when mmyolo accepts an mmcv that is published as wheels.
"""
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Optional

import torch
from torch import Tensor

EXTENSION = 'mmcv._ext'
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


class _MissingExtension(ModuleType):
    """``mmcv._ext`` with :func:`nms`; other operators raise when called."""

    nms = staticmethod(nms)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'mmcv.ops needs its compiled operator {name!r} for this, '
                f'and the mmcv installed here has none (mmcv-lite, or no '
                f'build for this torch). yolo_world_rep stands in for '
                f'\'nms\' only. Install a compiled mmcv>=2.0.0,<2.1.0 '
                f'to use {name!r}.')

        return missing


class _Finder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` when nothing before it in the path did."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: Optional[ModuleType] = None
                  ) -> Optional[ModuleSpec]:
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, self, origin=__name__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MissingExtension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the class is the content."""


def install_mmcv_ops() -> None:
    """Put the stand-in at the end of the import path, once.

    Last, so that a really compiled ``mmcv._ext`` is found before it.
    """
    if not any(type(finder).__name__ == _Finder.__name__
               and type(finder).__module__ == __name__
               for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
