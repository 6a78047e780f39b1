import math

import pytest

from yolo_world_rep.config.schedule import RECIPE_STEPS, make_schedule


def test_the_published_recipe_comes_out_for_its_own_numbers():
    plan = make_schedule(118_287, gpus=8, epochs=80)
    assert plan.steps == RECIPE_STEPS == 74_000
    assert (plan.batch_size, plan.total_batch) == (16, 128)
    assert plan.base_lr == 2e-4
    assert (plan.close_mosaic_epochs, plan.val_interval,
            plan.val_interval_stage2) == (10, 5, 1)
    assert (plan.warmup_epochs, plan.warmup_steps) == (3, 1000)
    assert (plan.bn_momentum, plan.ema_momentum,
            plan.ema_gamma) == (0.03, 1e-4, 2000)


@pytest.mark.parametrize('images', [1, 8, 40, 300, 2_000, 50_000])
@pytest.mark.parametrize('gpus', [1, 8])
def test_everything_fits_into_the_training(images, gpus):
    plan = make_schedule(images, gpus)
    assert plan.steps == plan.max_epochs * math.ceil(
        images / plan.total_batch)
    assert 0 < plan.close_mosaic_epochs < plan.max_epochs / 2
    assert plan.warmup_steps <= plan.steps / 10 + 1
    assert plan.warmup_epochs <= plan.max_epochs / 10
    assert plan.val_interval < plan.max_epochs
    # The averages forget the beginning, and yet average over some steps.
    for momentum in (plan.bn_momentum, plan.ema_momentum):
        assert (1 - momentum)**plan.steps < 0.01 or plan.steps < 500
        assert momentum <= 0.2
    assert plan.ema_gamma < plan.steps


def test_fewer_images_more_epochs_and_quicker_averages():
    small, large = make_schedule(100), make_schedule(10_000)
    assert small.max_epochs == 200
    assert large.max_epochs == 40
    assert small.steps < large.steps
    assert small.bn_momentum > large.bn_momentum
    assert small.ema_momentum > large.ema_momentum


def test_learning_rate_follows_the_root_of_the_batch():
    one, eight = make_schedule(9999), make_schedule(9999, gpus=8)
    assert eight.base_lr == 2e-4
    assert one.base_lr == pytest.approx(2e-4 / 8**0.5, rel=0.02)
    assert make_schedule(9999, batch_size=128).base_lr == 2e-4
    assert make_schedule(9999, lr=3e-3).base_lr == 3e-3


def test_few_images_share_a_batch():
    assert make_schedule(5).batch_size == 5
    assert make_schedule(20, gpus=4).batch_size == 5


def test_one_epoch_is_possible():
    plan = make_schedule(50, epochs=1)
    assert (plan.max_epochs, plan.close_mosaic_epochs) == (1, 0)
    assert plan.val_interval == plan.val_interval_stage2 == 1


@pytest.mark.parametrize('wrong', [
    dict(images=0), dict(images=9, gpus=0), dict(images=9, batch_size=0),
    dict(images=9, epochs=-1), dict(images=9, lr=0.)])
def test_numbers_must_be_positive(wrong):
    with pytest.raises(ValueError, match='expected a positive number'):
        make_schedule(**wrong)
