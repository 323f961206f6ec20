import numpy as np
import pytest

from maskdistill.training import sampling


@pytest.mark.parametrize("n_pictures, batch", [(7, 3), (6, 2), (5, 5), (3, 8), (1, 4)])
def test_every_picture_comes_once_before_any_comes_again(n_pictures, batch):
    steps = [
        sampling.chosen(step, n_pictures=n_pictures, batch=batch, seed=3)
        for step in range(4 * n_pictures)
    ]
    assert {len(step) for step in steps} == {batch}
    for epoch in np.concatenate(steps).reshape(-1, n_pictures):  # 4 * batch epochs
        assert sorted(epoch) == list(range(n_pictures))


def test_a_step_is_a_function_of_seed_and_step_alone():
    forwards = [sampling.chosen(step, n_pictures=11, batch=4, seed=5) for step in range(9)]
    np.random.default_rng(0).random(3)
    backwards = [
        sampling.chosen(step, n_pictures=11, batch=4, seed=5) for step in reversed(range(9))
    ][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert forwards[0].dtype == np.int64


def test_epochs_and_seeds_are_shuffled_anew():
    orders = [
        tuple(sampling.chosen(epoch, n_pictures=20, batch=20, seed=seed))
        for epoch in range(3)
        for seed in range(3)
    ]
    assert len(set(orders)) == 9


def test_each_sample_has_a_generator_of_its_own():
    first = {
        (seed, step, position): sampling.generator(seed, step, position).random()
        for seed in range(3)
        for step in range(3)
        for position in range(3)
    }
    assert len(set(first.values())) == 27
    assert sampling.generator(2, 1, 0).random() == first[2, 1, 0]
