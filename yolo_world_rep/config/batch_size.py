"""The largest batch that the memory of a GPU holds, by trial."""
from typing import Callable, Tuple

import torch
from torch import nn

from .schedule import RECIPE_BATCH

# Share of the memory that is used: images differ in their boxes.
SHARE = 0.85
BOXES = 100  # in each image of a trial
STEPS = 16  # of an epoch at least, before a batch is larger than 16


def largest_batch(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to ``most`` that fits, or ``ValueError``."""
    good, bad = 0, most + 1
    while bad - good > 1:
        size = min(2 * good or 1, (good + bad) // 2)
        if fits(size):
            good = size
        else:
            bad = size
    if not good:
        raise ValueError('`batch_size` auto: the memory of the GPU is too '
                         'small for one image: take a smaller image or model.')
    return good


def most_images(images: int, gpus: int) -> int:
    """What a GPU takes at most, of so many training images."""
    total = min(RECIPE_BATCH, max(16, images // STEPS), images)
    return max(1, total // gpus)


def memory_probe(model: nn.Module,
                 size: Tuple[int, int]) -> Callable[[int], bool]:
    """Whether steps with so many images of ``size`` (W, H) fit in the GPU."""
    model.cuda().train()
    # Gradients, the averaged weights, and AdamW's two states.
    more = 4 * sum(p.numel() * p.element_size() for p in model.parameters())
    room = SHARE * torch.cuda.mem_get_info()[0] - more

    def fits(batch: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        box = torch.tensor([0., 0., 0., 0., *size], device='cuda')
        boxes = box.repeat(batch * BOXES, 1)
        boxes[:, 0] = torch.arange(batch).repeat_interleave(BOXES)
        samples = dict(bboxes_labels=boxes, img_metas=[
            dict(batch_input_shape=size[::-1])] * batch)
        try:
            images = torch.zeros(batch, 3, *size[::-1], device='cuda')
            sum(model.loss(images, samples).values()).backward()
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            model.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_reserved() <= room

    return fits
