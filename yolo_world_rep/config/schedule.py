"""How long and how fast to train, from the number of images and GPUs.

The published recipe is the measure: 80 epochs of 118,287 images, 128 at a
time, AdamW at 2e-4. What is an average over steps there (statistics, the
averaged weights, the warm-up) becomes one over the same share of the steps
here.
"""
import math
from dataclasses import dataclass
from typing import Optional, Tuple

RECIPE_BATCH = 128
RECIPE_STEPS = 80 * math.ceil(118_287 / RECIPE_BATCH)
RECIPE_LR = 2e-4
# So many images are shown in all, within so many epochs.
IMAGES_SHOWN = 80_000
EPOCHS = (40, 200)
BN_MOMENTUM = (0.03, 0.2)
# Below, statistics that average with the lower momentum lag behind.
SHORT_RUN = 5_000


@dataclass(frozen=True)
class Schedule:
    """The variables of a config that depend on the amount of data."""
    steps: int  # of the optimizer, in all
    max_epochs: int
    close_mosaic_epochs: int  # the last epochs, without mosaic
    val_interval: int  # epochs between evaluations before those
    val_interval_stage2: int  # epochs between evaluations in those
    batch_size: int  # images on a GPU in one step
    total_batch: int  # images in one step
    base_lr: float
    warmup_epochs: float
    warmup_steps: int  # least length of the warm-up
    bn_momentum: float
    ema_momentum: float
    ema_gamma: int  # steps in which the average of the weights gets going


def _within(value: float, limits: Tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _two_digits(value: float) -> float:
    return float(f'{value:.2g}')


def scaled_lr(total_batch: int) -> float:
    """The recipe's learning rate for another number of images in a step.

    By the square root, the rule for optimizers that divide by the size of
    the gradient: its noise falls with the root of the batch.
    """
    return _two_digits(RECIPE_LR * math.sqrt(total_batch / RECIPE_BATCH))


def make_schedule(images: int, gpus: int = 1, batch_size: Optional[int] = None,
                  epochs: Optional[int] = None,
                  lr: Optional[float] = None) -> Schedule:
    """The schedule for a number of training images and GPUs.

    By default a GPU takes 16 images, or its share where there are fewer, the
    epochs show about 80,000 images (at least 40, at most 200 epochs), and the
    learning rate is :func:`scaled_lr`. A ``ValueError`` refuses what is not
    positive.
    """
    for name, value in (('images', images), ('gpus', gpus),
                        ('batch', batch_size), ('epochs', epochs), ('lr', lr)):
        if value is not None and not value > 0:
            raise ValueError(f'{name}={value}; expected a positive number.')
    batch = batch_size or min(16, math.ceil(images / gpus))
    total = batch * gpus
    per_epoch = math.ceil(images / total)
    if epochs is None:
        epochs = round(_within(IMAGES_SHOWN / images, EPOCHS))
    steps = per_epoch * epochs
    # An eighth of the training, as in the recipe; one epoch has no half.
    close = min(max(1, round(epochs / 8)), 20) if epochs > 1 else 0
    share = RECIPE_STEPS / steps
    return Schedule(
        steps=steps,
        max_epochs=epochs,
        close_mosaic_epochs=close,
        val_interval=max(1, round(epochs / 16)),
        val_interval_stage2=max(1, round(close / 10)),
        batch_size=batch,
        total_batch=total,
        base_lr=lr or scaled_lr(total),
        warmup_epochs=_two_digits(min(3, epochs / 20)),
        warmup_steps=min(1000, max(1, round(steps / 20))),
        bn_momentum=_two_digits(
            _within(BN_MOMENTUM[0] * SHORT_RUN / steps, BN_MOMENTUM)),
        ema_momentum=_two_digits(_within(1e-4 * share, (1e-4, 0.1))),
        ema_gamma=max(1, round(2000 * min(1, 1 / share))))
