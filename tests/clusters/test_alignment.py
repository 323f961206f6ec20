from itertools import permutations

import numpy as np
import pytest

from maskdistill.clusters.alignment import aligned


@pytest.mark.parametrize("k", [1, 2, 5])
def test_renamed_clusters_get_their_names_back(rng, k):
    ids = np.concatenate([np.arange(k), rng.integers(k, size=50)])
    names = rng.permutation(k)
    counts = np.zeros((k, k), int)
    np.add.at(counts, (names[ids], ids), 1)
    np.testing.assert_array_equal(aligned(counts)[names[ids]], ids)


def test_the_sum_of_overlaps_is_the_largest_of_all_renamings(rng):
    overlap = rng.integers(1, 100, (5, 5))
    found = aligned(overlap)
    best = max(
        sum(overlap[row, column] for row, column in enumerate(order))
        for order in permutations(range(5))
    )
    assert overlap[np.arange(5), found].sum() == best


def test_surplus_clusters_take_the_ids_that_are_left():
    overlap = np.array([[0, 9], [1, 0], [5, 3], [0, 0]])
    assert aligned(overlap).tolist() == [1, 2, 0, 3]
    assert aligned(np.array([[0, 0], [0, 4]])).tolist() == [0, 1]
    assert aligned(np.array([[4, 0], [0, 0]])).tolist() == [0, 1]


def test_fewer_clusters_than_the_other_has_close_up_in_its_order():
    assert aligned(np.array([[0, 0, 0, 7], [0, 5, 0, 0]])).tolist() == [1, 0]
    assert aligned(np.array([[0, 0, 0, 0], [0, 0, 5, 0], [8, 0, 0, 0]])).tolist() == [2, 1, 0]
    assert sorted(aligned(np.zeros((2, 3))).tolist()) == [0, 1]
