import numpy as np
import pytest

from maskdistill.proposals.spectral.graphs import Dense, TwoValued
from tests.reference.bits import packed


def joints(rng, n=19):
    joined = rng.random((n, n)) < 0.5
    return joined | joined.T | np.eye(n, dtype=bool)


def assert_products(graph, weights, rng):
    vector = rng.standard_normal(len(weights))
    np.testing.assert_allclose(graph.product(vector), weights @ vector, rtol=0, atol=1e-12)
    np.testing.assert_allclose(graph.degrees, weights.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(graph.dense(), weights, rtol=1e-13)


def test_a_two_valued_graph_multiplies_as_its_weights(rng):
    joined = joints(rng)
    assert_products(TwoValued(packed(joined), floor=1e-3), np.where(joined, 1.0, 1e-3), rng)


def test_a_dense_graph_multiplies_as_its_weights(rng):
    weights = rng.random((23, 23)).astype(np.float32)
    weights += weights.T
    assert_products(Dense(weights), weights.astype(np.float64), rng)


@pytest.mark.parametrize("twice", [False, True])
def test_a_part_of_a_graph_is_the_graph_of_that_part(rng, twice):
    joined = joints(rng)
    weights = rng.random((19, 19)).astype(np.float32)
    weights += weights.T
    some = np.array([1, 2, 5, 8, 13, 14, 18])
    kept = some
    parts = [TwoValued(packed(joined), floor=0.01).restrict(some), Dense(weights).restrict(some)]
    if twice:
        parts, kept = [part.restrict(np.array([0, 3, 4, 6])) for part in parts], some[[0, 3, 4, 6]]
    chosen = np.ix_(kept, kept)
    assert_products(parts[0], np.where(joined, 1.0, 0.01)[chosen], rng)
    assert_products(parts[1], weights.astype(np.float64)[chosen], rng)


def test_stripped_nodes_keep_edges_of_the_floor_alone_to_themselves_too(rng):
    joined = joints(rng)
    bare = np.zeros(19, bool)
    bare[[3, 4, 11]] = True
    weights = np.where(joined & ~bare[:, None] & ~bare[None], 1.0, 0.01)
    assert_products(TwoValued(packed(joined), floor=0.01).stripped(bare), weights, rng)
    more = np.zeros(19, bool)
    more[0] = True
    weights[0] = weights[:, 0] = 0.01
    assert_products(
        TwoValued(packed(joined), floor=0.01).stripped(bare).stripped(more), weights, rng
    )


def test_a_node_without_weight_is_refused():
    weights = np.ones((3, 3))
    weights[1] = weights[:, 1] = 0
    with pytest.raises(ValueError, match="above zero"):
        Dense(weights)
