"""A detector as a function of one tensor, as in an exported file."""
from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn


def output_names(contract: str, strides: Sequence[int],
                 masks: bool = False) -> List[str]:
    """Names of a file's outputs, in the order of its contract."""
    if contract == 'raw':
        kinds = ['logits', 'distances'] + ['coefficients'] * masks
        names = [f'{kind}_{stride}' for kind in kinds for stride in strides]
        return names + ['prototypes'] * masks
    return dict(decoded=['boxes', 'scores'],
                nms=['num_dets', 'boxes', 'scores', 'labels'])[contract] + [
            'coefficients', 'prototypes'] * masks


class RawOutputs(nn.Module):
    """Logits and distances of each level; coefficients, prototypes of masks.

    The distances are those of mmyolo's head module, by operators that runtimes
    run without moving data around: the expectation of the distribution is a
    product from the left. A head with several boxes a cell is a ValueError.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector.eval()
        module = detector.bbox_head.head_module
        if module.num_base_priors != 1:
            raise ValueError(
                f'The head has num_base_priors={module.num_base_priors}; '
                f'expected 1, a box a cell.')
        self.reg_max: int = module.reg_max
        like = next(detector.parameters())
        self.register_buffer(
            'bins',
            torch.arange(
                self.reg_max, dtype=like.dtype, device=like.device)[None],
            persistent=False)

    @property
    def strides(self) -> Tuple[int, ...]:
        """Pixels of a cell, level by level."""
        return tuple(self.detector.bbox_head.head_module.featmap_strides)

    def distances(self, branch_BRHW: Tensor) -> Tensor:
        """The box branch's output as distances (B, 4, H, W)."""
        if self.reg_max <= 1:
            return branch_BRHW
        height, width = branch_BRHW.shape[2:]
        share_B4RS = branch_BRHW.flatten(2).unflatten(
            1, (4, self.reg_max)).softmax(2)
        return torch.matmul(self.bins, share_B4RS).squeeze(2).unflatten(
            2, (height, width))

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W) to the outputs of the raw contract."""
        module = self.detector.bbox_head.head_module
        features = self.detector.extract_feat(images)
        logits, distances = [], []
        masks: List[Tensor] = []
        for level, feature in enumerate(features):
            logits.append(module.cls_contrasts[level](
                module.cls_preds[level](feature), None))
            distances.append(self.distances(module.reg_preds[level](feature)))
            if hasattr(module, 'seg_preds'):
                masks.append(module.seg_preds[level](feature))
        if masks:
            masks.append(module.proto_pred(features[0]))
        return (*logits, *distances, *masks)


def _count(length: int, like: Tensor) -> Tensor:
    """0, 1, 2, ... up to a length."""
    if torch.jit.is_tracing():
        # A trace would keep the device of a range, and not run on another.
        return like.new_ones(length).cumsum(0) - 1
    return torch.arange(length, dtype=like.dtype, device=like.device)


def cell_centres(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """Centres of a level's cells in pixels, (2, H, W), x before y."""
    x, y = (_count(length, like) * stride + stride / 2
            for length in (width, height))
    return torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width)])


class DecodedOutputs(nn.Module):
    """Boxes (B, P, 4) in pixels and scores (B, P, N) of all cells.

    With masks, also their coefficients (B, P, M) and the prototypes.
    """

    def __init__(self, raw: RawOutputs) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W) to the outputs of the decoded contract."""
        outputs = self.raw(images)
        count = len(self.raw.strides)
        boxes, logits = [], []
        for logit, distance, stride in zip(outputs[:count], outputs[count:],
                                           self.raw.strides):
            height, width = logit.shape[2:]
            centre = cell_centres(height, width, stride, logit)
            near, far = (distance * stride).split(2, 1)
            boxes.append(
                torch.cat([centre - near, centre + far], 1).flatten(2))
            logits.append(logit.flatten(2))
        found = (torch.cat(boxes, 2).transpose(1, 2),
                 torch.cat(logits, 2).sigmoid().transpose(1, 2))
        if len(outputs) == 2 * count:
            return found
        coefficients = torch.cat(
            [level.flatten(2) for level in outputs[2 * count:-1]], 2)
        return (*found, coefficients.transpose(1, 2), outputs[-1])


def as_contract(detector: nn.Module, contract: str) -> nn.Module:
    """A folded detector, fused or not, with the outputs of a contract.

    What 'nms' adds to 'decoded' is no module, see :mod:`.suppression`.
    """
    raw = RawOutputs(detector)
    return (raw if contract == 'raw' else DecodedOutputs(raw)).eval()
