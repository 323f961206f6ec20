import numpy as np
import pytest

from maskdistill.proposals.spectral import normalized_cut
from maskdistill.proposals.spectral.graphs import Dense, TwoValued
from maskdistill.proposals.spectral.normalized_cut import second_eigenvector
from tests.reference import normalized_cut as reference
from tests.reference.bits import packed


def assert_second(cut, weights, tolerance):
    values, vectors = reference.eigenpairs(weights)
    wanted = vectors[:, 1] * np.sign(vectors[:, 1] @ cut.vector)
    assert cut.value == pytest.approx(values[1], abs=1e-6)
    assert cut.vector @ (weights.sum(axis=1) * cut.vector) == pytest.approx(1, abs=1e-6)
    assert np.abs(cut.vector - wanted).max() <= tolerance * np.abs(wanted).max()
    assert cut.vector[normalized_cut.strongest(cut.vector)] > 0


@pytest.mark.parametrize("n", [3, 10, 57, 200])
def test_a_dense_graph_is_cut_as_by_the_dense_solver(rng, n):
    points = rng.standard_normal((n, 3)) + np.where(np.arange(n) < n / 3, 2.0, 0.0)[:, None]
    weights = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2))
    assert_second(
        second_eigenvector(Dense(weights)), weights.astype(np.float32).astype(float), 1e-3
    )


@pytest.mark.parametrize("n", [5, 60, 150])
def test_a_two_valued_graph_is_cut_as_by_the_dense_solver(rng, n):
    joined = rng.random((n, n)) < np.where(np.arange(n)[:, None] < n // 2, 0.8, 0.3)
    joined = joined | joined.T | np.eye(n, dtype=bool)
    weights = np.where(joined, 1.0, 1e-3)
    assert_second(second_eigenvector(TwoValued(packed(joined), floor=1e-3)), weights, 1e-3)


def test_two_nodes_are_cut_apart():
    cut = second_eigenvector(Dense(np.array([[1.0, 0.5], [0.5, 1.0]])))
    np.testing.assert_allclose(np.abs(cut.vector), 1 / np.sqrt(3))
    assert cut.value == pytest.approx(1 - 0.5 / 1.5)


@pytest.mark.parametrize("n_alone", [2, 5, 20])
def test_a_cluster_of_nearly_equal_eigenvalues_is_told_apart(rng, n_alone):
    # Each of these nodes could be cut off alone, at prices 1e-5 apart: a residual of 1e-6 does not say which.
    n = 120
    for _ in range(8):
        weights = 0.5 + 0.5 * rng.random((n, n))
        weights = (weights + weights.T) / 2
        for order, place in enumerate(rng.permutation(n)[:n_alone]):
            weights[place] = weights[:, place] = 1e-4 * (1 + 1e-3 * order)
            weights[place, place] = 1.0
        assert_second(
            second_eigenvector(Dense(weights)), weights.astype(np.float32).astype(float), 1e-3
        )


def test_too_few_products_are_answered_by_the_dense_solver_and_counted(rng):
    points = rng.standard_normal((40, 2))
    weights = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2))
    cut = second_eigenvector(Dense(weights), max_products=2)
    assert cut.fallback
    assert cut.products == 2
    assert_second(cut, weights.astype(np.float32).astype(float), 1e-5)


def test_a_disconnected_graph_is_cut_for_nothing():
    weights = np.kron(np.eye(2), np.ones((4, 4)))
    cut = second_eigenvector(Dense(weights))
    assert cut.value == pytest.approx(0, abs=1e-6)
    assert len(set(np.sign(cut.vector[:4]))) == len(set(np.sign(cut.vector[4:]))) == 1
    assert cut.vector[0] * cut.vector[7] < 0


def test_the_same_graph_gives_the_same_bits(rng):
    weights = rng.random((30, 30))
    weights = weights + weights.T
    first, second = (second_eigenvector(Dense(weights)) for _ in range(2))
    assert first.vector.tobytes() == second.vector.tobytes()


def test_a_tie_of_the_peak_goes_to_the_first_node():
    assert normalized_cut.strongest(np.array([0.1, -0.9999999, 1.0])) == 1
    assert normalized_cut.strongest(np.array([0.1, -0.999, 1.0])) == 2


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="two nodes"):
        second_eigenvector(Dense(np.ones((1, 1))))
    with pytest.raises(ValueError, match="above zero"):
        Dense(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="floor"):
        TwoValued(packed(np.eye(3)), floor=0.0)
    with pytest.raises(ValueError, match="tolerance"):
        second_eigenvector(Dense(np.ones((3, 3))), tolerance=0.0)
