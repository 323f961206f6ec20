import numpy as np
import pytest

from maskdistill.proposals import scores
from maskdistill.proposals.spectral.affinity import two_valued

GRID = (9, 12)


def scene(noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a box that is unlike its ground, and the box."""
    mask = np.zeros(GRID, bool)
    mask[2:6, 3:8] = True
    values = np.where(
        mask.reshape(-1, 1), [1.0, 0, 0, 0], [0, 1.0, 0, 0]
    ) + noise * rng.standard_normal((108, 4))
    return values, mask


def test_an_object_that_is_unlike_its_ground_scores_one_and_half_of_it_less(rng):
    values, mask = scene(0.0, rng)
    assert scores.of_vectors(values, mask) == pytest.approx(1.0)
    half = mask.copy()
    half[:, 5:] = False
    assert 0.1 < scores.of_vectors(values, half) < 0.7


def test_by_vectors_and_by_a_graph_without_loops_is_one_number(rng):
    values, mask = scene(0.6, rng)
    inside = mask.ravel()
    weights = two_valued(values.astype(np.float32), threshold=0.2, floor=1e-9).dense() > 0.5
    np.fill_diagonal(weights, False)
    share = weights[inside][:, inside].sum() / weights[inside].sum()
    assert scores.of_vectors(values, mask) == pytest.approx(
        scores.standing_out(mask, share), abs=1e-6
    )
    graph = two_valued(values.astype(np.float32), threshold=0.2, floor=1e-9)
    assert scores.of_graph(graph, mask) == pytest.approx(scores.of_vectors(values, mask), abs=0.1)


def test_a_large_grid_is_judged_by_a_part_of_its_pairs(rng):
    values, mask = scene(0.6, rng)
    small = scores.of_vectors(values, mask)
    large = np.repeat(np.repeat(values.reshape(*GRID, 4), 20, axis=0), 20, axis=1).reshape(-1, 4)
    assert scores.of_vectors(large, mask.repeat(20, axis=0).repeat(20, axis=1)) == pytest.approx(
        small, abs=0.08
    )


@pytest.mark.parametrize("fill", [False, True])
def test_nothing_and_everything_score_zero(fill, rng):
    values, _ = scene(0.3, rng)
    mask = np.full(GRID, fill)
    assert scores.of_vectors(values, mask) == 0.0
    assert (
        scores.of_graph(two_valued(values.astype(np.float32), threshold=0.2, floor=1e-5), mask)
        == 0.0
    )


def test_what_no_edge_joins_scores_zero():
    mask = np.zeros(GRID, bool)
    mask[2, 2] = True
    assert scores.of_vectors(np.zeros((108, 4)), mask) == 0.0


def test_an_outline_that_is_the_pictures_border_counts_less():
    inner, outer = np.zeros(GRID, bool), np.zeros(GRID, bool)
    inner[3:6, 3:6] = True
    outer[:3, :3] = True
    assert scores.standing_out(inner, 1.0) == pytest.approx(1.0)
    assert scores.standing_out(outer, 1.0) == pytest.approx(0.5)  # six of twelve sides
    assert scores.standing_out(inner, inner.mean()) == 0.0  # as chance has it
    assert scores.standing_out(inner, 0.0) == 0.0
