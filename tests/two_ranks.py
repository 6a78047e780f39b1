"""One of two gloo processes' gradients; started by test_sparse_training.py."""
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from builders import detector_cfg, randomize
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import yolo_world_rep  # noqa: F401  mmyolo finds our models
from yolo_world_rep.reparam.guide_max import FEW_GUIDES

NUM_CLASSES = FEW_GUIDES + 20
SIDES = (64, 96)
# Image, class, x1, y1, x2, y2.
BOXES = (((0, 1, 3, 2, 60, 40), (0, 90, 10, 8, 90, 60)),
         ((0, 119, 20, 20, 50, 62), (0, 7, 4, 3, 58, 41)))


class Loss(nn.Module):
    """The sum of a detector's losses."""

    def __init__(self) -> None:
        super().__init__()
        init_default_scope('mmyolo')
        cfg = detector_cfg(
            'rep_conv', num_classes=NUM_CLASSES, use_syncbn=False)
        cfg['bbox_head'].update(
            type='RepYOLOWorldHead', global_normalizer=True)
        self.detector = randomize(
            MODELS.build(ConfigDict(cfg)).double()).train()
        # Statistics of a batch would be those of a process's own images.
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def forward(self, images: Tensor, boxes: Tensor) -> Tensor:
        samples = dict(
            bboxes_labels=boxes,
            img_metas=[dict(batch_input_shape=SIDES)] * len(images))
        return sum(self.detector.loss(images, samples).values())


def batch_of(rank: int):
    """Two images of a rank and their boxes."""
    generator = torch.Generator().manual_seed(rank)
    images = torch.rand(
        2, 3, *SIDES, dtype=torch.float64, generator=generator)
    return images, torch.tensor(BOXES[rank], dtype=torch.float64)


def main(out: Path) -> None:
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    model = nn.parallel.DistributedDataParallel(Loss())
    model(*batch_of(rank)).backward()
    torch.save({k: p.grad
                for k, p in model.module.named_parameters()},
               out / f'rank{rank}.pth')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
