import numpy as np
import pytest

from maskdistill.clusters import chunks, kmeans, summary


def test_exemplars_are_the_nearest_the_farthest_and_some_drawn():
    rows = np.array([[0.5], [9], [0.1], [0.3], [8], [0.2]], np.float32)
    ids, centroids = np.array([0, 1, 0, 0, 1, 0]), np.array([[0], [8.4]], np.float32)
    found = summary.exemplars(rows, ids, centroids, count=3, seed=1)
    assert [each["nearest"] for each in found] == [[2, 5, 3], [4, 1]]
    assert [each["farthest"] for each in found] == [[0, 3, 5], [1, 4]]
    assert set(found[0]["random"]) < {0, 2, 3, 5}
    assert len(found[0]["random"]) == 3
    assert found[1]["random"] == [1, 4]
    assert summary.exemplars(rows, ids, centroids, count=3, seed=1) == found


def test_the_spread_is_the_root_mean_square_distance_to_the_centroid():
    rows = np.array([[0, 1], [0, -1], [3, 0], [3, 4]], np.float32)
    ids, centroids = np.array([0, 0, 1, 1]), np.array([[0, 0], [3, 0], [7, 7]], np.float32)
    assert summary.spreads(rows, ids, centroids) == [1, pytest.approx(np.sqrt(8), abs=1e-6), None]


def test_means_are_those_of_the_rows_and_zeros_without_any():
    rows = np.array([[0, 2], [4, 0], [2, 6]], np.float32)
    np.testing.assert_array_equal(
        summary.means(rows, np.array([2, 0, 2]), 3), [[4, 0], [0, 0], [1, 4]]
    )


def test_the_nearest_other_cluster_is_that_of_the_nearest_centroid_and_a_tie_goes_to_the_lower_id():
    centroids = np.array([[0, 0], [3, 4], [0, 5], [0, -5]], np.float32)
    found = summary.nearest_others(centroids)
    assert [each["cluster"] for each in found] == [1, 2, 1, 0]
    assert [each["distance"] for each in found] == pytest.approx(
        [5, np.sqrt(10), np.sqrt(10), 5], abs=1e-6
    )
    assert summary.nearest_others(centroids[:1]) == [None]


def test_more_rows_than_a_chunk_holds_are_described_alike(rng, monkeypatch):
    rows, centroids = (
        rng.standard_normal((60, 3)).astype(np.float32),
        rng.standard_normal((4, 3)).astype(np.float32),
    )
    ids = kmeans.assign(rows, centroids)

    def described():
        shown = summary.exemplars(rows, ids, centroids, count=3)
        return (
            shown,
            summary.spreads(rows, ids, centroids),
            summary.means(rows, ids, 4),
            kmeans.assign(rows, centroids),
        )

    whole = described()
    monkeypatch.setattr(chunks, "BYTES", 4 * 3 * 7)
    parts = described()
    assert parts[:2] == whole[:2]
    np.testing.assert_allclose(parts[2], whole[2], atol=1e-6)
    np.testing.assert_array_equal(parts[3], whole[3])
