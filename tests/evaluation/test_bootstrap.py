import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, label_map_counts


def test_the_interval_of_a_mean_is_that_of_the_normal_law(rng):
    values = rng.standard_normal(400)
    low, high = bootstrap.interval(
        lambda rows: float(values[rows].mean()), len(values), resamples=2000
    )
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert abs((low + high) / 2 - values.mean()) < 0.1 * half
    assert abs((high - low) / 2 / half - 1) < 0.1


def test_the_same_seed_gives_the_same_interval_and_another_gives_another():
    values = np.arange(20.0)

    def of(seed):
        return bootstrap.interval(
            lambda rows: float(values[rows].mean()), 20, resamples=50, seed=seed
        )

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


def mean_of(values):
    return label_map_counts.ratio(values, np.ones(len(values)))


def test_samples_are_those_of_the_interval(rng):
    values = rng.standard_normal(30)
    wanted = bootstrap.interval(lambda rows: float(values[rows].mean()), 30, resamples=50, seed=3)
    samples = bootstrap.draws(30, resamples=50, seed=3)
    assert samples.shape == (50, 30)
    assert (samples.sum(axis=1) == 30).all()
    assert bootstrap.spread(mean_of(values)(samples)) == pytest.approx(wanted)
    assert bootstrap.value(mean_of(values), 30) == pytest.approx(values.mean())


def test_without_pictures_or_resamples_there_are_no_samples():
    assert bootstrap.draws(0, resamples=5).shape == (0, 0)
    assert bootstrap.draws(7, resamples=0).shape == (0, 7)
    assert bootstrap.spread(np.array([np.nan, np.nan])) is None


def test_a_result_is_never_told_apart_from_itself(rng):
    values = rng.random(20)
    found = bootstrap.paired(mean_of(values), mean_of(values), bootstrap.draws(20, resamples=40))
    assert (found.difference, found.interval, found.p) == (0, (0, 0), 1)


def test_a_small_difference_on_every_picture_is_sure_though_the_two_intervals_overlap(rng):
    values = rng.random(40)
    samples = bootstrap.draws(40, resamples=99)
    better, worse = mean_of(values + 0.01), mean_of(values)
    assert bootstrap.spread(worse(samples))[1] > bootstrap.spread(better(samples))[0]
    found = bootstrap.paired(better, worse, samples)
    assert found.difference == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.01, 0.01))
    assert found.p == pytest.approx(2 / 100)  # the least that 99 samples can say
    other_way = bootstrap.paired(worse, better, samples)
    assert other_way.difference == pytest.approx(-0.01)
    assert other_way.p == found.p


def test_samples_without_a_value_in_either_are_left_out():
    one, other = label_map_counts.ratio(np.array([1, 0]), np.array([1, 0])), mean_of(np.zeros(2))
    found = bootstrap.paired(one, other, np.array([[0, 2], [1, 1], [2, 0]]))
    assert found.interval == (1, 1)
    assert found.p == pytest.approx(2 / 3)
    assert bootstrap.paired(one, other, np.array([[0, 2]])).p is None
    assert bootstrap.paired(one, other, np.zeros((0, 2), int)).interval is None
