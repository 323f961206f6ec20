"""k-means in torch: the loop's answer and scikit-learn's, whatever the chunks and wherever the rows lie."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from maskdistill.clusters import chunks, kmeans, streamed, whitening
from tests.clusters.test_chunks import Watched
from tests.clusters.test_kmeans import SIZES, blobs
from tests.reference import kmeans as reference

TINY = 2**8  # numbers a chunk: a few dozen rows


def mixture(rng, n=400, d=6, kinds=7, noise=0.4):
    """Overlapping blobs away from the origin, each of another size."""
    kind = rng.choice(kinds, n, p=np.arange(1, kinds + 1) / np.arange(1, kinds + 1).sum())
    return (3 + rng.standard_normal((kinds, d))[kind] + noise * rng.standard_normal((n, d))).astype(
        np.float32
    )


def drawn_rows(rng, rows, k, starts):
    return np.stack([rows[rng.choice(len(rows), k, replace=False)] for _ in range(starts)])


@pytest.mark.parametrize("spherical", [False, True])
def test_lloyd_is_the_plain_loop_from_each_of_several_starts_at_once(rng, spherical, monkeypatch):
    monkeypatch.setitem(streamed.NUMBERS, "cpu", TINY)
    rows = mixture(rng, n=151, d=5)
    rows = whitening.unit(rows - 3) if spherical else rows
    starts = drawn_rows(rng, rows, 6, 6)
    found = streamed.lloyd(rows, starts, spherical=spherical)
    for start, centroids, inertia, rounds in zip(
        starts, found.centroids, found.inertia, found.rounds, strict=True
    ):
        wanted, ids, number = reference.lloyd(rows, start, spherical=spherical)
        np.testing.assert_allclose(centroids, wanted, atol=2e-6)
        assert rounds == number
        assert inertia == pytest.approx(((rows - wanted[ids]) ** 2).sum(), rel=1e-6)
    assert len(set(found.rounds.tolist())) > 1  # so that some ended before others


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("numbers", [2**12, 2**20])
def test_from_the_same_start_labels_inertia_and_rounds_are_those_of_scikit_learn(
    rng, numbers, held, monkeypatch
):
    monkeypatch.setitem(streamed.NUMBERS, "cpu", numbers)
    monkeypatch.setattr(streamed, "_fits", lambda *_: held)
    rows = mixture(rng, n=3000, d=24, kinds=12, noise=0.8)
    starts = drawn_rows(rng, rows, 12, 4)
    found = streamed.lloyd(rows, starts)
    for start, centroids, inertia, rounds in zip(
        starts, found.centroids, found.inertia, found.rounds, strict=True
    ):
        wanted = KMeans(12, init=start, n_init=1).fit(
            rows.astype(np.float64)
        )  # of float32 its inertia is a float32 sum
        np.testing.assert_array_equal(kmeans.assign(rows, centroids), wanted.labels_)
        assert inertia == pytest.approx(wanted.inertia_, rel=1e-6)
        np.testing.assert_allclose(centroids, wanted.cluster_centers_, atol=1e-5)
        assert rounds == wanted.n_iter_


@pytest.mark.parametrize("algorithm", ["full", "spherical"])
def test_the_whole_of_k_means_finds_what_scikit_learns_finds_by_the_same_seed(
    rng, algorithm, monkeypatch
):
    monkeypatch.setitem(streamed.NUMBERS, "cpu", 2**12)
    rows = whitening.unit(mixture(rng, n=500, d=8) - 3)
    own = {"k": 9, "algorithm": algorithm, "restarts": 5, "seed": 4}
    wanted, found = kmeans.fit(rows, **own), streamed.fit(rows, **own)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(found.centroids, wanted.centroids, atol=1e-5)
    assert found.inertia == pytest.approx(wanted.inertia, rel=1e-6)
    assert (found.ids.dtype, found.centroids.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("algorithm", ["full", "spherical"])
def test_ids_are_sorted_by_falling_size(rng, algorithm):
    rows, kinds = blobs(rng)
    found = streamed.fit(rows, k=4, algorithm=algorithm, restarts=10)
    np.testing.assert_array_equal(np.bincount(found.ids), sorted(SIZES, reverse=True))
    np.testing.assert_array_equal(found.ids, np.array([3, 0, 2, 1])[kinds])


def test_rows_of_a_memory_map_and_of_several_arrays_are_clustered_as_those_of_one_array(
    rng, tmp_path, monkeypatch
):
    monkeypatch.setitem(streamed.NUMBERS, "cpu", TINY)
    monkeypatch.setattr(chunks, "BYTES", 2**11)
    monkeypatch.setattr(streamed, "SAMPLE", 100)
    rows = mixture(rng)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    several = chunks.Chosen([(mapped, np.arange(150)), (rows[150:], np.arange(250))])
    wanted = streamed.fit(rows, k=7, restarts=2)
    for each in (mapped, several):
        found = streamed.fit(each, k=7, restarts=2)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.centroids, wanted.centroids)
        assert found.inertia == wanted.inertia


def test_starts_are_drawn_of_a_sample_without_reading_all_rows_at_once(rng, monkeypatch):
    monkeypatch.setattr(chunks, "BYTES", 2**11)
    monkeypatch.setattr(streamed, "SAMPLE", 5)
    rows = Watched(mixture(rng))
    np.testing.assert_array_equal(streamed.drawn(rows, k=2), streamed.drawn(rows.rows, k=2))
    assert len(rows.read) < len(rows)


@pytest.mark.parametrize("algorithm", ["full", "spherical"])
def test_the_same_seed_gives_the_same_bytes_however_many_threads_and_another_one_another_clustering(
    rng, algorithm, monkeypatch
):
    rows = whitening.unit(rng.standard_normal((700, 12)).astype(np.float32))
    monkeypatch.setitem(streamed.NUMBERS, "cpu", 2**11)
    own = {"k": 9, "algorithm": algorithm, "restarts": 2}
    first = streamed.fit(rows, seed=3, **own)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    again = streamed.fit(rows, seed=3, threads=3, **own)
    assert torch.get_num_threads() == 2
    assert (first.ids.tobytes(), first.centroids.tobytes()) == (
        again.ids.tobytes(),
        again.centroids.tobytes(),
    )
    assert first.inertia == again.inertia
    assert (streamed.fit(rows, seed=4, **own).ids != first.ids).any()


def test_clusters_that_become_empty_take_the_farthest_rows_as_in_the_plain_loop(rng, monkeypatch):
    monkeypatch.setitem(streamed.NUMBERS, "cpu", TINY)
    rows = mixture(rng, n=90, d=4)
    start = np.concatenate(
        [rows[:3], np.full((3, 4), 99, np.float32) + np.arange(3)[:, None]]
    ).astype(np.float32)
    found = streamed.lloyd(rows, start[None])
    wanted, ids, rounds = reference.lloyd(rows, start)
    np.testing.assert_allclose(found.centroids[0], wanted, atol=1e-5)
    assert found.rounds.tolist() == [rounds]
    assert np.bincount(ids, minlength=6).min() > 0
    theirs = KMeans(6, init=start, n_init=1).fit(rows)
    np.testing.assert_allclose(found.centroids[0], theirs.cluster_centers_, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["full", "spherical"])
def test_fewer_distinct_rows_than_k_give_as_many_clusters_and_none_is_empty(rng, algorithm):
    few = rng.standard_normal((4, 3)).astype(np.float32)
    rows = whitening.unit(few[rng.integers(4, size=50)])
    found = streamed.fit(rows, k=20, algorithm=algorithm, restarts=3)
    assert len(found.centroids) == 4
    assert np.bincount(found.ids).min() > 0
    crowded = whitening.unit(
        np.concatenate([np.tile(few, (200, 1)), rng.standard_normal((60, 3))]).astype(np.float32)
    )
    assert len(streamed.fit(crowded, k=60, algorithm=algorithm).centroids) == 60
    assert (
        streamed.fit(np.ones((7, 3), np.float32), k=3, algorithm=algorithm).ids.tolist() == [0] * 7
    )


def test_a_sample_that_misses_a_kind_is_no_hindrance(rng, monkeypatch):
    monkeypatch.setattr(streamed, "SAMPLE", 8)
    rows = np.repeat(np.eye(5, dtype=np.float32), [900, 60, 3, 2, 1], axis=0)
    found = streamed.fit(rows, k=5, restarts=2)
    assert np.bincount(found.ids).tolist() == [900, 60, 3, 2, 1]
    assert found.inertia == pytest.approx(0, abs=1e-9)


def test_rows_that_cancel_out_leave_a_spherical_centroid_where_it_was():
    rows = np.array([[1, 0], [-1, 0]] * 3, np.float32)
    found = streamed.fit(rows, k=1, algorithm="spherical")
    assert np.abs(found.centroids).tolist() == [[1, 0]]


def test_rows_far_from_the_origin_are_told_apart(rng):
    rows = (1e4 + mixture(rng)).astype(np.float32)
    start = rows[rng.choice(len(rows), 7, replace=False)]
    ids = kmeans.assign(rows, streamed.lloyd(rows, start[None]).centroids[0])
    np.testing.assert_array_equal(ids, reference.lloyd(rows, start)[1])


def test_what_cannot_be_clustered_is_refused():
    with pytest.raises(ValueError, match="there are none to cluster"):
        streamed.fit(np.zeros((0, 3), np.float32), k=2)
    with pytest.raises(ValueError, match="some are not finite"):
        streamed.fit(np.array([[1, 0], [np.nan, 1]], np.float32), k=1)
    with pytest.raises(ValueError, match=r"k must be in 1\.\.254, got 255"):
        streamed.fit(np.ones((300, 2), np.float32), k=255)
    with pytest.raises(ValueError, match="full or spherical, got 'minibatch'"):
        streamed.fit(np.eye(3, dtype=np.float32), k=2, algorithm="minibatch")
    with pytest.raises(ValueError, match="at most 256 centroids each, found 300"):
        streamed.lloyd(np.eye(3, dtype=np.float32), np.zeros((1, 300, 3), np.float32))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_what_the_cpu_finds(rng):
    rows = mixture(rng, n=5000, d=24, kinds=12)
    cpu, gpu = (streamed.fit(rows, k=12, restarts=4, device=device) for device in ("cpu", "cuda"))
    assert (cpu.ids == gpu.ids).mean() > 0.999
    assert gpu.inertia == pytest.approx(cpu.inertia, rel=1e-5)
