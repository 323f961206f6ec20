import numpy as np
import pytest
import torch

from maskdistill.proposals import tokencut
from maskdistill.proposals.spectral import affinity
from maskdistill.types import Features, Note
from tests.reference import normalized_cut as reference


def scene(rng, places, grid=(12, 15), noise=0.03) -> Features:
    """Keys of a ground and of squares of 3 x 3 patches at `places`, each of a direction of its own."""
    directions = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    keys = np.tile(directions[0], (*grid, 1))
    for number, (row, col) in enumerate(places):
        keys[row : row + 3, col : col + 3] = directions[1 + number]
    keys = keys + noise * rng.standard_normal(keys.shape)
    keys = torch.from_numpy(
        np.concatenate([np.zeros((1, 16)), keys.reshape(-1, 16)]).astype(np.float32)
    )[None]
    return Features(grid=grid, patch=8, keys=keys)


def squares(found, grid=(12, 15)):
    return {
        (int(r.min()), int(c.min()), each.mask.sum().item())
        for each in found.masks
        for r, c in [each.mask.nonzero().T]
    }


def test_the_paper_returns_the_one_object(rng):
    found = tokencut.discover(scene(rng, [(4, 5)]))
    assert squares(found) == {(4, 5, 9)}
    assert found.masks[0].score > 0.5


@pytest.mark.parametrize("affinity", ["threshold", "gaussian"])
def test_several_objects_are_found_one_after_the_other(rng, affinity):
    places = [(1, 2), (7, 3), (4, 10)]
    found = tokencut.discover(scene(rng, places), max_masks=3, affinity=affinity)
    assert squares(found) == {(*place, 9) for place in places}


def test_a_ground_alone_holds_no_object(rng):
    found = tokencut.discover(scene(rng, [], noise=1.0), max_masks=6, affinity="gaussian")
    assert found.masks == []
    assert (Note.STOPPED, "what is left does not fall into parts") in found.notes


def test_a_mask_that_is_too_small_or_along_the_border_is_not_returned(rng):
    features = scene(rng, [(4, 5)])
    assert tokencut.discover(features, affinity="gaussian").masks
    for rule in ({"min_area": 10}, {"max_area": 0.01}):
        assert tokencut.discover(features, affinity="gaussian", **rule).masks == []
    corner = scene(rng, [(0, 0)])
    assert tokencut.discover(corner, affinity="gaussian", max_border=0.05).masks == []


def test_the_search_makes_at_most_three_cuts_a_mask(rng, monkeypatch):
    own, cuts = tokencut.second_eigenvector, []
    monkeypatch.setattr(
        tokencut, "second_eigenvector", lambda graph: cuts.append(own(graph)) or cuts[-1]
    )
    found = tokencut.discover(
        scene(rng, [(4, 5)], noise=0.3), max_masks=2, rule="sound", min_area=1000
    )
    assert (len(found.masks), len(cuts)) == (0, 6)
    assert (Note.STOPPED, "no more cuts") in found.notes


def test_an_object_that_the_border_cuts_scores_less(rng):
    whole, cut = (
        tokencut.discover(scene(rng, [place]), affinity="gaussian").masks[0]
        for place in ((4, 5), (0, 5))
    )
    assert cut.score < whole.score


def test_a_key_of_length_zero_is_joined_to_none_not_even_itself(rng):
    keys = rng.standard_normal((9, 4)).astype(np.float32)
    keys[3] = 0
    weights = affinity.two_valued(keys, threshold=0.2, floor=1e-5).dense()
    np.testing.assert_allclose(
        weights, reference.weights_of_cosines(keys.astype(float), 0.2, 1e-5), atol=1e-12
    )


def test_the_gaussian_graph_is_its_formula(rng):
    keys = rng.standard_normal((15, 4)).astype(np.float32)
    placed = keys.reshape(3, 5, 4).astype(float)
    steps = [
        ((placed[1:] - placed[:-1]) ** 2).sum(-1).ravel(),
        ((placed[:, 1:] - placed[:, :-1]) ** 2).sum(-1).ravel(),
    ]
    deviation = 0.8 * np.sqrt(np.median(np.concatenate(steps)))
    distances = ((keys[:, None].astype(float) - keys[None]) ** 2).sum(-1)
    weights = tokencut.gaussian(keys, (3, 5), bandwidth=0.8, floor=1e-5).dense()
    np.testing.assert_allclose(weights, np.exp(-distances / (2 * deviation**2)) + 1e-5, rtol=1e-4)


@pytest.mark.parametrize("affinity", ["threshold", "gaussian"])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (4, 5)])
def test_a_picture_without_any_difference_breaks_nothing(affinity, grid):
    features = Features(grid=grid, patch=8, keys=torch.zeros(1, 1 + grid[0] * grid[1], 3))
    found = tokencut.discover(features, max_masks=4, affinity=affinity)
    assert all(0 <= each.score <= 1 for each in found.masks)


def test_bad_input_is_named(rng):
    features = scene(rng, [])
    with pytest.raises(ValueError, match="keys"):
        tokencut.discover(Features(grid=(3, 4), patch=8))
    with pytest.raises(ValueError, match="short_side"):
        tokencut.discover(Features(grid=(200, 200), patch=8, keys=torch.zeros(1, 40001, 1)))
    for constants in (
        {"max_masks": 0},
        {"affinity": "x"},
        {"threshold": 2.0},
        {"floor": 0.0},
        {"bandwidth": np.nan},
    ):
        with pytest.raises(ValueError, match=next(iter(constants))):
            tokencut.discover(features, **constants)
    limits = [("stop_score", np.nan), ("stop_score", 5), ("stop_score", -1), ("min_area", -3)]
    for name, value in [*limits, ("max_area", 7), ("max_area", -1), ("max_border", np.nan)]:
        with pytest.raises(ValueError, match=name):
            tokencut.discover(features, **{name: value})
