import numpy as np
import pytest
from scipy.cluster import hierarchy

from maskdistill.clusters import merging


def partition(groups):
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)}


@pytest.mark.parametrize("k", range(1, 10))
def test_equal_sizes_give_wards_tree_of_scipy(rng, k):
    centroids = rng.standard_normal((9, 4)).astype(np.float32)
    found = merging.merged(centroids, np.full(9, 3), k=k)
    wanted = hierarchy.fcluster(hierarchy.ward(centroids.astype(float)), k, criterion="maxclust")
    assert partition(found) == partition(wanted)
    assert found.dtype == np.int64


def test_groups_are_numbered_by_falling_size(rng):
    centroids = np.array([[0, 0], [9, 0], [0, 1], [9, 1], [30, 0]], np.float32)
    assert merging.merged(centroids, np.array([2, 5, 1, 4, 8]), k=3).tolist() == [2, 0, 2, 0, 1]
    assert merging.merged(centroids, np.array([2, 5, 1, 4, 8]), k=5).tolist() == [3, 1, 4, 2, 0]
    assert merging.merged(centroids, np.array([2, 5, 1, 4, 8]), k=1).tolist() == [0] * 5


def test_of_pairs_equally_far_apart_the_smaller_is_joined_first():
    centroids = np.array([[0, 0], [1, 0], [9, 0], [10, 0]], np.float32)
    assert partition(merging.merged(centroids, np.array([9, 9, 2, 2]), k=3)) == {
        frozenset([0]),
        frozenset([1]),
        frozenset([2, 3]),
    }


def test_other_numbers_and_empty_clusters_are_refused():
    centroids = np.eye(3, dtype=np.float32)
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"k must be in 1\.\.3, got {k}"):
            merging.merged(centroids, np.ones(3), k=k)
    with pytest.raises(ValueError, match="above 0"):
        merging.merged(centroids, np.array([1, 0, 2]), k=2)
