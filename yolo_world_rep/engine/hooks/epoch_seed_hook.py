"""Randomness that depends on the epoch and not on what ran before it."""
import random
from functools import partial
from typing import Any, Iterator

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS
from torch.utils.data import get_worker_info

from ...registry import register


def mixed_seed(*parts: int) -> int:
    """A 32-bit seed from several numbers, far apart for close inputs."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _transforms(pipeline: Any) -> Iterator[Any]:
    """Every transform of a pipeline, those inside others included."""
    for transform in getattr(pipeline, 'transforms', None) or ():
        if not isinstance(transform, dict):
            yield transform
            yield from _transforms(transform)
    nested = getattr(pipeline, 'pre_transform', None)
    if nested is not None:
        yield from _transforms(nested)


def seed_pipeline(dataset: Any, seed: int) -> None:
    """Seed the transforms that draw from generators of their own.

    albumentations 2 does so: it ignores numpy's and Python's seeds.
    ``dataset`` has a ``pipeline``, or wraps data sets that have.
    """
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    for number, part in enumerate(inner):
        seed_pipeline(part, mixed_seed(seed, number))
    pipeline = getattr(dataset, 'pipeline', None)
    for number, transform in enumerate(_transforms(pipeline)):
        augmentation = getattr(transform, 'aug', None)
        if hasattr(augmentation, 'set_random_seed'):
            augmentation.set_random_seed(mixed_seed(seed, number))


def seed_generators(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_worker(worker_id: int, seed: int) -> None:
    """Seed a worker process of a data loader and its copy of the data set."""
    seed = mixed_seed(seed, worker_id)
    seed_generators(seed)
    info = get_worker_info()
    if info is not None:
        seed_pipeline(info.dataset, seed)


@register(HOOKS)
class EpochSeedHook(Hook):
    """Seed everything from (seed of the run, rank, epoch), every epoch.

    A checkpoint holds no state of random generators, so a resumed run would
    see other augmentations, and, when the config fixes no seed, another
    order of images than an unbroken run. With this hook it sees the same.
    Workers of the data loader start anew each epoch for that, the persistent
    ones too.
    """

    # After the hook that switches pipelines, whose new one wants seeds too.
    priority = 'BELOW_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the seed of the run that is resumed."""
        sampler = getattr(runner.train_dataloader, 'sampler', None)
        # The loader is built before the checkpoint, which brings the seed.
        if getattr(sampler, 'seed', None) is not None:
            sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process and the workers to come."""
        seed = mixed_seed(runner.seed, runner.rank, runner.epoch)
        seed_generators(seed)
        loader = runner.train_dataloader
        seed_pipeline(loader.dataset, seed)
        if getattr(loader, 'num_workers', 0) > 0:
            loader.worker_init_fn = partial(seed_worker, seed=seed)
            loader._iterator = None  # ends persistent workers
