import numpy as np

from maskdistill.evaluation import bootstrap


def test_the_interval_of_a_mean_is_that_of_the_normal_law(rng):
    values = rng.standard_normal(400)
    low, high = bootstrap.interval(lambda rows: float(values[rows].mean()), len(values), resamples=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert abs((low + high) / 2 - values.mean()) < 0.1 * half
    assert abs((high - low) / 2 / half - 1) < 0.1


def test_the_same_seed_gives_the_same_interval_and_another_gives_another():
    values = np.arange(20.0)
    of = lambda seed: bootstrap.interval(lambda rows: float(values[rows].mean()), 20, resamples=50, seed=seed)  # noqa: E731
    assert of(1) == of(1) != of(2)


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    bootstrap.interval(lambda rows: float(rows.mean()), 5, resamples=5)
    assert np.random.random() == wanted  # noqa: NPY002


def test_pictures_are_drawn_with_repeats():
    drawn = []
    bootstrap.interval(lambda rows: drawn.append(rows) or 0.0, 7, resamples=3)
    assert all(rows.shape == (7,) and rows.min() >= 0 and rows.max() < 7 for rows in drawn)
    assert any(len(set(rows.tolist())) < 7 for rows in drawn)


def test_a_constant_has_an_interval_without_width():
    assert bootstrap.interval(lambda rows: 0.25, 3, resamples=10) == (0.25, 0.25)


def test_without_pictures_or_resamples_or_values_there_is_no_interval():
    assert bootstrap.interval(lambda rows: 1.0, 0, resamples=10) is None
    assert bootstrap.interval(lambda rows: 1.0, 10, resamples=0) is None
    assert bootstrap.interval(lambda rows: float("nan"), 10, resamples=10) is None


def test_resamples_without_a_value_are_left_out():
    found = bootstrap.interval(lambda rows: float("nan") if 0 in rows else 0.5, 4, resamples=60)
    assert found == (0.5, 0.5)
