import numpy as np
import pytest
import torch

from maskdistill.proposals import batched
from maskdistill.proposals.spectral.graphs import TwoValued
from maskdistill.proposals.spectral.normalized_cut import second_eigenvector


def unit_keys(rng, n_graphs=3, n=60, width=12):
    keys = rng.standard_normal((n_graphs, n, width))
    keys[:, : n // 4] += 1.5 * rng.standard_normal((n_graphs, 1, width))  # an object
    keys += 0.8 * rng.standard_normal((n_graphs, 1, width))
    return torch.from_numpy(keys / np.linalg.norm(keys, axis=2, keepdims=True)).float()


def alone(unit, threshold=0.2, floor=1e-5):
    cosines = unit.numpy() @ unit.numpy().T
    return second_eigenvector(TwoValued(cosines > threshold, floor=floor))


@pytest.mark.parametrize("n", [3, 20, 60, 150])
def test_each_cut_is_that_of_the_graph_alone(rng, n):
    unit = unit_keys(rng, n=n)
    for found, keys in zip(batched.second_eigenvectors(unit), unit, strict=True):
        wanted = alone(keys)
        assert found.value == pytest.approx(wanted.value, abs=1e-6)
        np.testing.assert_allclose(
            found.vector, wanted.vector, rtol=0, atol=2e-4 * np.abs(wanted.vector).max()
        )
        clear = (
            np.abs(wanted.vector - wanted.vector.mean()) > 1e-3 * np.abs(wanted.vector).max()
        )  # not on the mean
        sides = found.vector > found.vector.mean(), wanted.vector > wanted.vector.mean()
        np.testing.assert_array_equal(sides[0][clear], sides[1][clear])


def test_what_few_steps_do_not_settle_is_solved_alone(rng):
    unit = unit_keys(rng)
    for found, keys in zip(batched.second_eigenvectors(unit, n_steps=2), unit, strict=True):
        wanted = alone(keys)
        assert found.products == 2 + wanted.products
        np.testing.assert_allclose(found.vector, wanted.vector, rtol=0, atol=1e-9)


def test_most_graphs_are_settled_together(rng):
    assert (
        sum(
            cut.products == 24
            for cut in batched.second_eigenvectors(unit_keys(rng, n_graphs=8, n=100))
        )
        >= 6
    )


def test_two_nodes_and_graphs_without_edges(rng):
    (cut,) = batched.second_eigenvectors(torch.eye(2)[None])
    assert cut.vector[0] * cut.vector[1] < 0
    (cut,) = batched.second_eigenvectors(torch.zeros(1, 5, 3))
    assert np.isfinite(cut.vector).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(graphs, n, width\) with n at least 2, got \(4, 3\)"):
        batched.second_eigenvectors(torch.zeros(4, 3))
    for threshold in (7, np.nan):
        with pytest.raises(ValueError, match="threshold must be in"):
            batched.second_eigenvectors(torch.zeros(1, 4, 3), threshold=threshold)
    with pytest.raises(ValueError, match="floor must be in"):
        batched.second_eigenvectors(torch.zeros(1, 4, 3), floor=0.0)
