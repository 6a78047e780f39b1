import random
from types import SimpleNamespace

import albumentations
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from torch.utils.data import DataLoader, Dataset

from yolo_world_rep.engine import EpochSeedHook
from yolo_world_rep.engine.hooks.epoch_seed_hook import (
    seed_generators,
    seed_pipeline,
)


class Draws(Dataset):
    """Each item is one draw of every generator a transform may use."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor(
            [random.random(), np.random.rand(), torch.rand(()).item()])


def draws_of_epoch(epoch, loader, rank=0, seed=3):
    runner = SimpleNamespace(
        seed=seed, rank=rank, epoch=epoch, train_dataloader=loader)
    EpochSeedHook().before_train_epoch(runner)
    return torch.cat(list(loader))


@pytest.mark.parametrize('workers', [0, 1])
def test_an_epoch_draws_the_same_whatever_ran_before(workers):
    kwargs = dict(num_workers=workers, persistent_workers=workers > 0)
    whole = DataLoader(Draws(), **kwargs)
    first, second = (draws_of_epoch(epoch, whole) for epoch in (0, 1))
    resumed = draws_of_epoch(1, DataLoader(Draws(), **kwargs))
    torch.testing.assert_close(resumed, second, rtol=0, atol=0)
    # Epochs, ranks and runs draw differently.
    assert not torch.isclose(first, second).any()
    if not workers:
        for other in (dict(rank=1), dict(seed=4)):
            assert not torch.isclose(
                draws_of_epoch(1, whole, **other), second).any()


def test_albumentations_is_seeded_too():
    from mmdet.datasets.transforms import Albu
    image = np.random.default_rng(0).integers(
        0, 255, (32, 32, 3), dtype=np.uint8)

    def drawn(seed):
        albu = Albu([dict(type='GaussNoise', p=0.5)])
        dataset = SimpleNamespace(pipeline=Compose([albu]))
        if seed is not None:
            seed_generators(seed)
            seed_pipeline(dataset, seed)
        return np.stack([
            albu(dict(img=image.copy()))['img'] for _ in range(6)
        ])

    assert np.array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
    # Without it, no global seed would help; albumentations 1 has no other.
    if hasattr(albumentations.Compose, 'set_random_seed'):
        seed_generators(0)
        first = drawn(None)
        seed_generators(0)
        assert not np.array_equal(first, drawn(None))


def test_wrapped_data_sets_and_nested_transforms_are_found():
    from mmdet.datasets.transforms import Albu
    outer, inner = (Albu([dict(type='GaussNoise', p=1.0)]) for _ in range(2))
    nested = SimpleNamespace(pre_transform=Compose([inner]))
    dataset = SimpleNamespace(
        datasets=[
            SimpleNamespace(
                pipeline=SimpleNamespace(transforms=[outer, nested]))
        ])
    image = np.full((32, 32, 3), 128, np.uint8)
    drawn = []
    for _ in range(2):
        seed_generators(5)
        seed_pipeline(dataset, 5)
        drawn.append([
            part(dict(img=image.copy()))['img'] for part in (outer, inner)
        ])
    np.testing.assert_array_equal(*drawn)
    assert not np.array_equal(*drawn[0])


def test_sampler_gets_the_seed_of_the_resumed_run():
    sampler = SimpleNamespace(seed=1)
    runner = SimpleNamespace(
        seed=9, train_dataloader=SimpleNamespace(sampler=sampler))
    EpochSeedHook().before_train(runner)
    assert sampler.seed == 9
