import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from maskdistill.clusters import kmeans, whitening

MIDDLES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-0.6, -0.8, 0]])
SIZES = (5, 29, 11, 17)


def blobs(rng, noise=0.05):
    """Rows around four directions, shuffled; and which row is of which."""
    kinds = rng.permutation(np.repeat(np.arange(4), SIZES))
    rows = (MIDDLES[kinds] + noise * rng.standard_normal((len(kinds), 3))).astype(np.float32)
    return whitening.normalise(rows, np.ones(3, np.float32)), kinds


@pytest.mark.parametrize("algorithm", ["full", "minibatch", "spherical"])
def test_ids_are_sorted_by_falling_size(rng, algorithm):
    rows, kinds = blobs(rng)
    found = kmeans.fit(rows, k=4, algorithm=algorithm, restarts=10)
    np.testing.assert_array_equal(np.bincount(found.ids), sorted(SIZES, reverse=True))
    np.testing.assert_array_equal(found.ids, np.array([3, 0, 2, 1])[kinds])
    assert found.ids.dtype == np.int64
    assert found.centroids.shape == (4, 3)
    assert found.centroids.dtype == np.float32


def test_centroids_and_inertia_are_those_of_the_ids(rng):
    rows, _ = blobs(rng)
    found = kmeans.fit(rows, k=4, algorithm="full", restarts=10)
    means = [rows[found.ids == number].mean(axis=0) for number in range(4)]
    np.testing.assert_allclose(found.centroids, means, atol=1e-5)
    wanted = sum(
        ((row - means[number]) ** 2).sum() for row, number in zip(rows, found.ids, strict=True)
    )
    assert found.inertia == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_array_equal(kmeans.assign(rows, found.centroids), found.ids)


def test_fewer_distinct_rows_than_k_give_fewer_clusters():
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, -1], [0, 1]], np.float32)
    found = kmeans.fit(rows, k=20, algorithm="full", restarts=5)
    np.testing.assert_array_equal(found.ids, [0, 1, 0, 0, 2, 1])
    np.testing.assert_allclose(found.centroids, [[1, 0], [0, 1], [0, -1]], atol=1e-6)
    assert found.inertia == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("algorithm", ["full", "minibatch", "spherical"])
def test_there_are_as_many_clusters_as_distinct_rows_at_the_most_and_none_is_empty(rng, algorithm):
    few = rng.standard_normal((4, 3)).astype(np.float32)
    rows = whitening.unit(few[rng.integers(4, size=50)])
    found = kmeans.fit(rows, k=20, algorithm=algorithm, restarts=3)
    assert len(found.centroids) == len(np.unique(rows, axis=0))
    assert np.bincount(found.ids, minlength=len(found.centroids)).min() > 0
    crowded = whitening.unit(
        np.concatenate([np.tile(few, (200, 1)), rng.standard_normal((60, 3))]).astype(np.float32)
    )
    found = kmeans.fit(crowded, k=60, algorithm=algorithm)
    assert len(found.centroids) == 60


def test_an_empty_cluster_starts_again_at_the_row_farthest_from_its_own():
    rows = np.array([[0, 0], [1, 0], [2, 0], [9, 0], [20, 0]], np.float32)
    # Row 4 is alone with the second centroid, the third has no row: of the others row 3 is the farthest.
    found = kmeans.reseeded(rows, np.array([[1, 0], [20, 1], [-99, 0]], np.float32))
    np.testing.assert_array_equal(found, [[1, 0], [20, 1], [9, 0]])
    given = np.array([[1, 0], [20, 1]], np.float32)
    np.testing.assert_array_equal(kmeans.reseeded(rows, given), given)
    several = kmeans.reseeded(
        rows, np.full((5, 2), -99, np.float32) + np.eye(5, 2, dtype=np.float32)
    )
    np.testing.assert_array_equal(np.sort(kmeans.assign(rows, several)), range(5))


def test_spherical_centroids_are_the_directions_of_the_sums_of_their_rows(rng):
    rows, kinds = blobs(rng)
    found = kmeans.fit(rows, k=4, algorithm="spherical", restarts=10)
    np.testing.assert_array_equal(found.ids, np.array([3, 0, 2, 1])[kinds])
    for number, centroid in enumerate(found.centroids):
        total = rows[found.ids == number].sum(axis=0)
        np.testing.assert_allclose(centroid, total / np.linalg.norm(total), atol=1e-5)
    np.testing.assert_array_equal((rows @ found.centroids.T).argmax(axis=1), found.ids)


def test_rows_that_cancel_out_leave_a_spherical_centroid_where_it_was():
    rows = np.array([[1, 0], [-1, 0]] * 3, np.float32)
    found = kmeans.fit(rows, k=1, algorithm="spherical")
    assert np.abs(found.centroids).tolist() == [[1, 0]]
    assert found.ids.tolist() == [0] * 6


def test_equal_rows_are_one_cluster():
    found = kmeans.fit(np.ones((7, 3), np.float32), k=3)
    assert found.ids.tolist() == [0] * 7
    assert found.centroids.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("k", [0, -1, 255])
def test_more_clusters_than_a_label_map_can_tell_apart_are_refused(k):
    with pytest.raises(ValueError, match=rf"k must be in 1\.\.254, got {k}"):
        kmeans.fit(np.ones((300, 2), np.float32), k=k)


def test_254_clusters_are_allowed(rng):
    rows = whitening.normalise(
        rng.standard_normal((300, 5)).astype(np.float32), np.ones(5, np.float32)
    )
    found = kmeans.fit(rows, k=254, algorithm="full")
    assert found.ids.max() == len(found.centroids) - 1
    assert 250 <= len(found.centroids) <= 254
    assert (np.diff(np.bincount(found.ids)) <= 0).all()


def test_nothing_to_cluster_and_other_algorithms_are_refused():
    with pytest.raises(ValueError, match="there are none to cluster"):
        kmeans.fit(np.zeros((0, 3), np.float32), k=2)
    with pytest.raises(ValueError, match="some are not finite"):
        kmeans.fit(np.array([[1, 0], [np.nan, 1]], np.float32), k=1)
    with pytest.raises(ValueError, match="full, minibatch or spherical, got 'faiss'"):
        kmeans.fit(np.eye(3, dtype=np.float32), k=2, algorithm="faiss")


@pytest.mark.parametrize("algorithm", ["full", "minibatch", "spherical"])
def test_the_same_seed_gives_the_same_ids_however_many_threads(rng, algorithm):
    rows = whitening.normalise(
        rng.standard_normal((400, 6)).astype(np.float32), np.ones(6, np.float32)
    )
    first = kmeans.fit(rows, k=9, algorithm=algorithm, seed=3)
    np.random.default_rng(0).random()
    with threadpool_limits(2):
        again = kmeans.fit(rows, k=9, algorithm=algorithm, seed=3)
    np.testing.assert_array_equal(first.ids, again.ids)
    np.testing.assert_array_equal(first.centroids, again.centroids)
    assert first.inertia == again.inertia
    assert (kmeans.fit(rows, k=9, algorithm=algorithm, seed=4).ids != first.ids).any()


def test_another_order_of_the_rows_changes_no_row_s_cluster(rng):
    rows, _ = blobs(rng)
    order = rng.permutation(len(rows))
    first, second = (
        kmeans.fit(each, k=4, algorithm="full", restarts=10) for each in (rows, rows[order])
    )
    np.testing.assert_array_equal(
        second.ids, first.ids[order]
    )  # sizes differ, so even the names stay


def test_restarts_find_a_better_clustering():
    rng = np.random.default_rng(0)  # of some draws the first start is the best
    rows = whitening.normalise(
        rng.standard_normal((150, 4)).astype(np.float32), np.ones(4, np.float32)
    )
    once, often = (kmeans.fit(rows, k=12, algorithm="full", restarts=n).inertia for n in (1, 12))
    assert often < once


def test_rows_go_to_the_nearest_centroid_and_a_tie_to_the_lower_id(rng):
    centroids = np.array([[0, 2], [2, 0], [0, 2]], np.float32)
    rows = np.array([[0.1, 1], [5, 4], [1, 1]], np.float32)
    assert kmeans.assign(rows, centroids).tolist() == [0, 1, 0]
    rows, centroids = (
        rng.standard_normal((40, 3)).astype(np.float32),
        rng.standard_normal((7, 3)).astype(np.float32),
    )
    wanted = [
        min(range(7), key=lambda number: ((row - centroids[number]) ** 2).sum())
        for row in rows.astype(float)
    ]
    assert kmeans.assign(rows, centroids).tolist() == wanted
    nothing = kmeans.assign(rows[:0], centroids)
    assert (nothing.shape, nothing.dtype) == ((0,), np.int64)


@pytest.mark.parametrize("algorithm", ["full", "minibatch", "spherical"])
def test_a_seed_of_any_size_is_taken(rng, algorithm):
    rows, _ = blobs(rng)
    found, wanted = (
        kmeans.fit(rows, k=4, algorithm=algorithm, seed=seed) for seed in (2**32 + 5, 5)
    )
    np.testing.assert_array_equal(found.centroids, wanted.centroids)


def test_mini_batches_are_the_papers_of_1000_rows(rng):
    rows = whitening.unit(rng.standard_normal((3000, 5)).astype(np.float32))
    with threadpool_limits(1):
        wanted = (
            MiniBatchKMeans(4, n_init=1, random_state=0, batch_size=1000).fit(rows).cluster_centers_
        )
    found = kmeans.fit(rows, k=4).centroids
    np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)], rtol=1e-5)
