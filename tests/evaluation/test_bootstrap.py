from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskdistill.evaluation import bootstrap, rows
from maskdistill.evaluation.rows import Measure
from tests.reference import bootstrap as reference


def mean_of(values):
    return bootstrap.ratio(values, np.ones(len(values)))


def interval(values, *, resamples, seed=0):
    """Of the mean of a value a picture."""
    samples = bootstrap.draws(len(values), resamples=resamples, seed=seed)
    return bootstrap.spread(mean_of(values)(samples), around=np.nan)


def test_the_interval_of_a_mean_is_that_of_the_normal_law(rng):
    values = rng.standard_normal(400)
    low, high = interval(values, resamples=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert abs((low + high) / 2 - values.mean()) < 0.1 * half
    assert abs((high - low) / 2 / half - 1) < 0.1


def test_the_same_seed_gives_the_same_interval_and_another_gives_another():
    of = partial(interval, np.arange(20.0), resamples=50)
    assert of(seed=1) == of(seed=1) != of(seed=2)


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    bootstrap.draws(5, resamples=5)
    assert np.random.random() == wanted  # noqa: NPY002


def test_pictures_are_drawn_with_repeats():
    samples = bootstrap.draws(7, resamples=3)
    assert samples.shape == (3, 7)
    assert (samples.sum(axis=1) == 7).all()
    assert samples.max() > 1


def test_a_constant_has_an_interval_without_width():
    assert interval(np.full(3, 0.25), resamples=10) == (0.25, 0.25)


def test_values_that_are_none_are_left_out_and_without_others_there_is_no_interval():
    assert bootstrap.spread(np.array([0.5, np.nan, 0.5]), around=0.5) == (0.5, 0.5)
    assert bootstrap.spread(np.array([np.nan, np.nan]), around=0.5) is None
    assert bootstrap.spread(np.zeros(0), around=0.5) is None


NUMBERS = st.floats(0, 1, width=32)
SAMPLED = st.integers(1, 6).flatmap(
    lambda n_pictures: st.tuples(
        arrays(np.float64, (n_pictures, 3), elements=st.one_of(st.just(0.0), NUMBERS)),
        arrays(np.float64, (n_pictures, 3), elements=st.sampled_from([0.0, 1.0, 50.0])),
        st.integers(1, 4),
        st.integers(0, 1000),
    )
)


@given(SAMPLED)
def test_an_interval_holds_its_number_in_files_too(drawn):
    parts, wholes, resamples, seed = drawn
    samples = bootstrap.draws(len(parts), resamples=resamples, seed=seed)
    first, second = (
        bootstrap.mean_of_ratios(parts, wholes),
        bootstrap.ratio(parts[:, 0], wholes[:, 0]),
    )
    made = rows.built([Measure("detect", "AP", "in words", first)], samples, split="train")
    other = Measure("detect", "AP", "in words", second)
    both = rows.compared(Measure("detect", "AP", "in words", first), other, samples, split="train")
    for row, name in ((made[0], "value"), (both, "difference")):
        for written in (row, *rows.rounded([row])):
            if written["interval"] is not None and written[name] is not None:
                low, high = written["interval"]
                assert low <= written[name] <= high


def test_an_interval_that_left_out_its_number_is_widened_to_it_and_no_other_is():
    # One picture in three holds a class that nothing finds: most samples of few are without it.
    parts, wholes = np.array([[1.0, 0], [1, 0], [1, 0]]), np.array([[1.0, 0], [1, 0], [1, 1]])
    of = bootstrap.mean_of_ratios(parts, wholes)
    samples = np.array([[2, 1, 0], [1, 2, 0], [3, 0, 0]])
    assert bootstrap.value(of, 3) == 0.5
    assert bootstrap.spread(of(samples), around=np.nan) == (1.0, 1.0)
    assert bootstrap.spread(of(samples), around=0.5) == (0.5, 1.0)
    values = np.linspace(0, 1, 41)
    within = bootstrap.spread(values, around=0.3)
    assert within == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize("seed", [0, 3])
def test_the_interval_is_that_of_the_pictures_drawn_one_sample_after_the_other(rng, seed):
    values = rng.standard_normal(30)
    wanted = reference.interval(
        lambda rows: float(values[rows].mean()), 30, resamples=50, seed=seed
    )
    assert interval(values, resamples=50, seed=seed) == pytest.approx(wanted)
    assert bootstrap.value(mean_of(values), 30) == pytest.approx(values.mean())


def test_a_ratio_is_that_of_sums_and_without_a_whole_it_has_no_value():
    of = bootstrap.ratio(np.array([1, 0, 3]), np.array([2, 0, 4]))
    np.testing.assert_allclose(
        of(np.array([[1, 1, 1], [0, 5, 0], [2, 0, 1]])), [4 / 6, np.nan, 5 / 8]
    )


def test_a_mean_of_ratios_leaves_out_classes_without_a_whole():
    parts, wholes = np.array([[1, 0], [1, 3]]), np.array([[2, 0], [2, 4]])
    of = bootstrap.mean_of_ratios(parts, wholes)
    np.testing.assert_allclose(
        of(np.array([[1, 1], [1, 0], [0, 0]])), [(0.5 + 0.75) / 2, 0.5, np.nan]
    )


def test_without_pictures_or_resamples_there_are_no_samples():
    assert bootstrap.draws(0, resamples=5).shape == (0, 0)
    assert bootstrap.draws(7, resamples=0).shape == (0, 7)


def test_a_result_is_never_told_apart_from_itself(rng):
    values = rng.random(20)
    found = bootstrap.paired(mean_of(values), mean_of(values), bootstrap.draws(20, resamples=40))
    assert (found.difference, found.interval, found.p) == (0, (0, 0), 1)


def test_a_small_difference_on_every_picture_is_sure_though_the_two_intervals_overlap(rng):
    values = rng.random(40)
    samples = bootstrap.draws(40, resamples=99)
    better, worse = mean_of(values + 0.01), mean_of(values)
    assert (
        bootstrap.spread(worse(samples), around=np.nan)[1]
        > bootstrap.spread(better(samples), around=np.nan)[0]
    )
    found = bootstrap.paired(better, worse, samples)
    assert found.difference == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.01, 0.01))
    assert found.p == pytest.approx(2 / 100)  # the least that 99 samples can say
    other_way = bootstrap.paired(worse, better, samples)
    assert other_way.difference == pytest.approx(-0.01)
    assert other_way.p == found.p


def test_samples_without_a_value_in_either_are_left_out():
    one, other = bootstrap.ratio(np.array([1, 0]), np.array([1, 0])), mean_of(np.zeros(2))
    found = bootstrap.paired(one, other, np.array([[0, 2], [1, 1], [2, 0]]))
    assert found.interval == (1, 1)
    assert found.p == pytest.approx(2 / 3)
    assert bootstrap.paired(one, other, np.array([[0, 2]])).p is None
    assert bootstrap.paired(one, other, np.zeros((0, 2), int)).interval is None
