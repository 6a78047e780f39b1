"""The search for a batch, with memories that are numbers."""
import pytest

from yolo_world_rep.config.batch_size import largest_batch, most_images


@pytest.mark.parametrize('most', [1, 2, 7, 64, 128])
@pytest.mark.parametrize('room', [1, 2, 5, 31, 32, 127, 1000])
def test_the_largest_that_fits_in_few_trials(room, most):
    tried = []

    def fits(batch):
        tried.append(batch)
        assert 1 <= batch <= most
        return batch <= room

    assert largest_batch(fits, most) == min(room, most)
    assert len(tried) == len(set(tried)) < 16


def test_not_even_one():
    with pytest.raises(ValueError, match='too small for one image'):
        largest_batch(lambda batch: False, 64)


@pytest.mark.parametrize(('images', 'gpus', 'most'), [
    (118_287, 1, 128), (118_287, 8, 16), (800, 1, 50), (100, 1, 16),
    (9, 1, 9), (9, 2, 4), (1, 2, 1)])
def test_an_epoch_has_steps(images, gpus, most):
    assert most_images(images, gpus) == most
