import json

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from maskdistill.clusters import kmeans
from maskdistill.evaluation import clusters, matching

MIDDLES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-0.6, -0.8, 0]])
SIZES = (5, 29, 11, 17)


def blobs(rng, noise=0.05):
    """Rows around four directions, shuffled; and which row is of which."""
    kinds = rng.permutation(np.repeat(np.arange(4), SIZES))
    rows = (MIDDLES[kinds] + noise * rng.standard_normal((len(kinds), 3))).astype(np.float32)
    return kmeans.normalise(rows, np.ones(3, np.float32)), kinds


def test_the_scale_is_the_deviation_by_hand():
    rows = np.array([[1, 10, 7], [3, 10, 7], [5, 40, 7]], np.float32)
    wanted = [np.sqrt(8 / 3), np.sqrt(200), 1]  # of all rows, not all but one; 1 where nothing varies
    np.testing.assert_allclose(kmeans.scale_of(rows), wanted, rtol=1e-6)
    assert kmeans.scale_of(rows).dtype == np.float32
    np.testing.assert_array_equal(kmeans.scale_of(rows, whiten=False), [1, 1, 1])


@pytest.mark.parametrize("n", [100, 1000, 20_001])
def test_a_dimension_that_never_varies_has_scale_1_however_many_rows(n):
    rows = np.full((n, 3), 0.3, np.float32)
    rows[::2, 1] = 0.7
    np.testing.assert_allclose(kmeans.scale_of(rows), [1, 0.2, 1], rtol=1e-3)


def test_rows_are_divided_by_the_scale_then_by_their_length():
    rows = np.array([[6, 4], [0, 0], [-2, 0]], np.float32)
    found = kmeans.normalise(rows, np.array([2, 1], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(rows[0], [6, 4])  # not in place


@pytest.mark.parametrize("algorithm", ["full", "minibatch"])
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
    wanted = sum(((row - means[number]) ** 2).sum() for row, number in zip(rows, found.ids, strict=True))
    assert found.inertia == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_array_equal(kmeans.assign(rows, found.centroids), found.ids)


def test_fewer_distinct_rows_than_k_give_fewer_clusters():
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, -1], [0, 1]], np.float32)
    found = kmeans.fit(rows, k=20, algorithm="full", restarts=5)
    np.testing.assert_array_equal(found.ids, [0, 1, 0, 0, 2, 1])
    np.testing.assert_allclose(found.centroids, [[1, 0], [0, 1], [0, -1]], atol=1e-6)
    assert found.inertia == pytest.approx(0, abs=1e-9)
    # Mini-batches draw rows with replacement: a centroid may lie between two of them.
    found = kmeans.fit(rows, k=20, algorithm="minibatch", restarts=5)
    assert len(found.centroids) <= 3
    np.testing.assert_array_equal(found.ids, kmeans.assign(rows, found.centroids))


def test_equal_rows_are_one_cluster():
    found = kmeans.fit(np.ones((7, 3), np.float32), k=3)
    assert found.ids.tolist() == [0] * 7
    assert found.centroids.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("k", [0, -1, 255])
def test_more_clusters_than_a_label_map_can_tell_apart_are_refused(k):
    with pytest.raises(ValueError, match=rf"k must be in 1\.\.254, got {k}"):
        kmeans.fit(np.ones((300, 2), np.float32), k=k)


def test_254_clusters_are_allowed(rng):
    rows = kmeans.normalise(rng.standard_normal((300, 5)).astype(np.float32), np.ones(5, np.float32))
    found = kmeans.fit(rows, k=254, algorithm="full")
    assert found.ids.max() == len(found.centroids) - 1
    assert 250 <= len(found.centroids) <= 254
    assert (np.diff(np.bincount(found.ids)) <= 0).all()


def test_nothing_to_cluster_and_other_algorithms_are_refused():
    with pytest.raises(ValueError, match="there are none to cluster"):
        kmeans.fit(np.zeros((0, 3), np.float32), k=2)
    with pytest.raises(ValueError, match="full or minibatch, got 'faiss'"):
        kmeans.fit(np.eye(3, dtype=np.float32), k=2, algorithm="faiss")


@pytest.mark.parametrize("algorithm", ["full", "minibatch"])
def test_the_same_seed_gives_the_same_ids_however_many_threads(rng, algorithm):
    rows = kmeans.normalise(rng.standard_normal((400, 6)).astype(np.float32), np.ones(6, np.float32))
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
    first, second = (kmeans.fit(each, k=4, algorithm="full", restarts=10) for each in (rows, rows[order]))
    np.testing.assert_array_equal(second.ids, first.ids[order])  # sizes differ, so even the names stay


def test_restarts_find_a_better_clustering():
    rng = np.random.default_rng(0)  # of some draws the first start is the best
    rows = kmeans.normalise(rng.standard_normal((150, 4)).astype(np.float32), np.ones(4, np.float32))
    once, often = (kmeans.fit(rows, k=12, algorithm="full", restarts=n).inertia for n in (1, 12))
    assert often < once


def test_rows_go_to_the_nearest_centroid_and_a_tie_to_the_lower_id(rng):
    centroids = np.array([[0, 2], [2, 0], [0, 2]], np.float32)
    rows = np.array([[0.1, 1], [5, 4], [1, 1]], np.float32)
    assert kmeans.assign(rows, centroids).tolist() == [0, 1, 0]
    rows, centroids = rng.standard_normal((40, 3)).astype(np.float32), rng.standard_normal((7, 3)).astype(np.float32)
    wanted = [min(range(7), key=lambda number: ((row - centroids[number]) ** 2).sum()) for row in rows.astype(float)]
    assert kmeans.assign(rows, centroids).tolist() == wanted
    nothing = kmeans.assign(rows[:0], centroids)
    assert (nothing.shape, nothing.dtype) == ((0,), np.int64)


def test_exemplars_are_the_nearest_the_farthest_and_some_drawn():
    rows = np.array([[0.5], [9], [0.1], [0.3], [8], [0.2]], np.float32)
    ids, centroids = np.array([0, 1, 0, 0, 1, 0]), np.array([[0], [8.4]], np.float32)
    found = kmeans.exemplars(rows, ids, centroids, count=3, seed=1)
    assert [each["nearest"] for each in found] == [[2, 5, 3], [4, 1]]
    assert [each["farthest"] for each in found] == [[0, 3, 5], [1, 4]]
    assert set(found[0]["random"]) < {0, 2, 3, 5}
    assert len(found[0]["random"]) == 3
    assert found[1]["random"] == [1, 4]
    assert kmeans.exemplars(rows, ids, centroids, count=3, seed=1) == found


def test_whitened_rows_are_those_of_the_original(reference):
    folder = reference / "golden" / "evaluation"
    rows = np.load(folder / "kmeans.npz")["features"].astype(np.float32)
    wanted = json.loads((folder / "kmeans_expected.json").read_text(encoding="utf-8"))["whitened_normalised_first5x4"]
    found = kmeans.normalise(rows, kmeans.scale_of(rows))
    np.testing.assert_allclose(found[:5, :4], wanted, atol=1e-6)


@pytest.mark.parametrize("k, rule, low", [(20, matching.hungarian, 0.79), (40, matching.majority, 0.96)])
def test_clusters_from_start_to_end_are_as_good_as_the_originals(reference, k, rule, low):
    stored = np.load(reference / "golden" / "evaluation" / "kmeans.npz")
    rows = stored["features"].astype(np.float32)
    found = kmeans.fit(kmeans.normalise(rows, kmeans.scale_of(rows)), k=k, restarts=1, seed=1234)
    counts = clusters.table(found.ids, stored["labels"], n_clusters=k, n_classes=20)
    assert low <= clusters.accuracy(counts, rule(counts)) <= (0.95 if k == 20 else 0.99)
