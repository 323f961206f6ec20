import numpy as np
import pytest

from maskdistill.clusters import number


def rows_of(stability, spread=0.0):
    return [{"k": k, "stability": value, "spread": spread} for k, value in enumerate(stability, 2)]


def blobs(rng, n_kinds, each=40, dims=8, noise=0.25):
    middles = np.eye(dims)[:n_kinds] * 3
    return (
        np.repeat(middles, each, axis=0) + noise * rng.standard_normal((n_kinds * each, dims))
    ).astype(np.float32)


@pytest.mark.parametrize("n_kinds", [2, 3, 5])
def test_well_parted_kinds_are_counted(rng, n_kinds):
    curve = number.curve(blobs(rng, n_kinds), range(2, 9), halvings=4)
    assert number.chosen(curve) == n_kinds
    best = max(curve, key=lambda row: row["silhouette"])
    assert best["k"] == n_kinds
    assert [row["k"] for row in curve] == list(range(2, 9))
    assert next(row for row in curve if row["k"] == n_kinds)["stability"] == 1


def test_the_last_peak_near_the_best_is_chosen():
    assert (
        number.chosen(rows_of([0.6, 0.99, 0.7, 0.92, 0.9, 0.85])) == 5
    )  # 3 holds several kinds in one
    assert number.chosen(rows_of([0.6, 0.99, 0.7, 0.88, 0.86])) == 3  # a peak, but not near
    assert number.chosen(rows_of([0.6, 0.7, 0.95, 0.94, 0.9])) == 4  # near, but no peak
    assert number.chosen(rows_of([0.2, 0.5, 0.9])) == 4  # the end of the range may be one
    assert number.chosen(rows_of([0.8, 0.8])) == 2


def test_of_numbers_that_the_draws_cannot_tell_apart_the_fewest_is_chosen():
    stability = [0.6, 0.85, 0.86, 0.84, 0.87, 0.5]
    assert number.chosen(rows_of(stability)) == 6
    assert number.chosen(rows_of(stability, spread=0.05), halvings=10) == 3  # two errors are 0.032
    assert (
        number.chosen(rows_of(stability, spread=0.03), halvings=10) == 6
    )  # 0.019: 5 is not as stable as 6
    assert number.chosen(rows_of(stability, spread=0.05), halvings=100) == 6


def test_nothing_tried_is_one_cluster():
    assert number.chosen([]) == 1
    few = np.eye(7, 3, dtype=np.float32)
    assert number.curve(few, range(2, 5)) == []


def test_numbers_that_halves_cannot_tell_are_left_out(rng):
    rows = rng.standard_normal((21, 3)).astype(np.float32)
    assert [row["k"] for row in number.curve(rows, range(1, 30), halvings=2)] == [2, 3, 4, 5]
    equal = np.tile(rows[:9], (10, 1))
    assert [row["k"] for row in number.curve(equal, range(2, 30), halvings=2)] == [2]


def test_the_same_seed_gives_the_same_curve_and_of_many_rows_some_are_drawn(rng):
    rows = blobs(rng, 3)
    first = number.curve(rows, [2, 4], halvings=3, most=60, seed=5)
    assert first == number.curve(rows, [2, 4], halvings=3, most=60, seed=5)
    assert first != number.curve(rows, [2, 4], halvings=3, most=60, seed=6)
    assert all(-1 <= row["silhouette"] <= 1 and row["spread"] >= 0 for row in first)


def test_a_seed_of_any_size_is_taken(rng):
    assert number.curve(blobs(rng, 2), [2], halvings=2, seed=2**32)[0]["k"] == 2
