"""features/positions.py: a planted positional bias leaves the features, their content stays."""

import numpy as np
import pytest
import torch

from maskdistill.features import positions
from maskdistill.proposals import tokencut
from maskdistill.types import Features
from tests.reference import positions as reference

GRID, WIDTH = (7, 9), 24
N = GRID[0] * GRID[1]


def described(tokens: np.ndarray, *, facet: str = "tokens", heads: int = 3) -> Features:
    """Features of patches (patches, width), a class token of ones before them."""
    whole = torch.from_numpy(np.vstack([np.ones(WIDTH), tokens]).astype(np.float32))
    if facet != "tokens":
        whole = whole.unflatten(1, (heads, WIDTH // heads)).permute(1, 0, 2).contiguous()
    return Features(grid=GRID, patch=16, **{facet: whole})


def patches(features: Features, facet: str = "tokens") -> np.ndarray:
    values = getattr(features, facet)
    rows = values[1:] if facet == "tokens" else values[:, 1:].permute(1, 0, 2).flatten(1)
    return rows.double().numpy()


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Content and bias (patches, width), the mask of the object, tokens of a blank picture."""
    rng = np.random.default_rng(4)
    axes = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].T
    row, col = np.divmod(np.arange(N), GRID[1])
    mask = (row >= 2) & (row < 5) & (col >= 3) & (col < 7)
    content = np.where(mask[:, None], axes[0], axes[1]) + 0.02 * rng.normal(size=(N, WIDTH))
    bias = 4 * (col / 4 - 1)[:, None] * axes[5] + 3 * (row / 3 - 1)[:, None] * axes[6]
    return content, bias, mask, 20 * axes[7] + bias  # the same everywhere, and where they lie


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("facet", ["tokens", "keys", "queries", "values"])
def test_a_planted_bias_leaves_and_the_content_stays(planted, facet):
    content, bias, mask, blank_rows = planted
    blank = described(blank_rows, facet=facet)
    found = positions.directions(blank, facet=facet, most=2)
    rest = patches(
        positions.without(described(content + bias, facet=facet), found, facet=facet), facet
    )
    before, after = cosines(content + bias), cosines(rest)
    same = mask[:, None] == mask[None]
    assert before[same].min() < 0  # by position, patches of one thing are opposite
    assert after[same].min() > 0.9
    assert np.abs(after[~same]).max() < 0.4
    # What is taken out of the content is what little of it points along the bias.
    assert np.linalg.norm(rest - content) < 0.15 * np.linalg.norm(content)


def test_a_cut_finds_the_object_and_no_longer_a_side_of_the_picture(planted):
    content, bias, mask, blank = planted
    found = positions.directions(described(blank), facet="tokens", most=2)
    biased = described(content + bias)

    def first(features: Features) -> np.ndarray:
        masks = tokencut.discover(features, facet="tokens", rule="paper").masks
        return masks[0].mask.numpy().ravel()

    def iou(one: np.ndarray) -> float:
        return float((one & mask).sum() / (one | mask).sum())

    assert iou(first(biased)) < 0.5
    assert iou(first(positions.without(biased, found, facet="tokens"))) == 1


@pytest.mark.parametrize("facet", ["tokens", "keys"])
@pytest.mark.parametrize("most", [1, 3, 5])
def test_directions_and_the_rest_equal_those_of_the_slow_twin(rng, facet, most):
    # Strengths far apart, so that the iteration of the twin ends.
    rows = rng.normal(size=(N, WIDTH)) * 0.5 ** np.arange(WIDTH) + 3
    blank = described(rows, facet=facet)
    found = positions.directions(blank, facet=facet, most=most).double().numpy()
    slow = reference.directions(patches(blank, facet), most)
    np.testing.assert_allclose(found @ found.T, slow @ slow.T, atol=2e-5)
    other = described(rng.normal(size=(N, WIDTH)), facet=facet)
    rest = positions.without(other, torch.from_numpy(slow), facet=facet)
    np.testing.assert_allclose(
        patches(rest, facet), reference.without(patches(other, facet), slow), atol=1e-5
    )


def test_the_rest_has_no_part_along_the_directions_and_loses_nothing_else(rng):
    blank = described(rng.normal(size=(N, WIDTH)))
    found = positions.directions(blank, facet="tokens", most=4)
    features = described(rng.normal(size=(N, WIDTH)))
    rest = positions.without(features, found, facet="tokens")
    basis = found.double().numpy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(patches(rest) @ basis, 0, atol=1e-5)
    again = positions.without(rest, found, facet="tokens")
    torch.testing.assert_close(again.tokens, rest.tokens)
    torch.testing.assert_close(rest.tokens[0], features.tokens[0], rtol=0, atol=0)


def test_other_facets_and_the_features_that_were_given_stay(rng):
    rows = rng.normal(size=(N, WIDTH))
    both = Features(
        grid=GRID,
        patch=16,
        keys=described(rows, facet="keys").keys,
        queries=described(rows, facet="queries").queries,
    )
    kept = both.keys.clone()
    found = positions.directions(both, facet="keys", most=2)
    rest = positions.without(both, found, facet="keys")
    assert rest.queries is both.queries
    torch.testing.assert_close(both.keys, kept, rtol=0, atol=0)
    assert not torch.equal(rest.keys, kept)


def test_a_blank_picture_that_looks_the_same_everywhere_has_no_directions():
    same = np.tile(np.arange(WIDTH) / 3.0, (N, 1))
    found = positions.directions(described(same), facet="tokens", most=5)
    assert found.shape == (WIDTH, 0)
    features = described(np.random.default_rng(1).normal(size=(N, WIDTH)))
    rest = positions.without(features, found, facet="tokens")
    torch.testing.assert_close(rest.tokens, features.tokens, rtol=0, atol=0)


def test_directions_end_where_the_patches_differ_in_no_more(planted):
    *_, rows = planted
    # Made 1 long, the patches lie on a cap: two directions, and the one that the cap bends along.
    assert positions.directions(described(rows), facet="tokens", most=9).shape == (WIDTH, 3)


@pytest.mark.parametrize("most", [0, WIDTH, WIDTH + 5])
def test_no_direction_or_all_of_them_are_refused(rng, most):
    blank = described(rng.normal(size=(N, WIDTH)))
    with pytest.raises(ValueError, match=rf"most must be in 1 \.\. {WIDTH - 1}"):
        positions.directions(blank, facet="tokens", most=most)


def test_bad_features_are_refused(rng):
    rows = rng.normal(size=(N, WIDTH))
    found = positions.directions(described(rows), facet="tokens", most=2)
    with pytest.raises(ValueError, match="keys: these features hold none"):
        positions.directions(described(rows), facet="keys", most=2)
    with pytest.raises(ValueError, match="keys: these features hold none"):
        positions.without(described(rows), found, facet="keys")
    with pytest.raises(ValueError, match=f"tokens: {WIDTH} wide, but the directions are 5"):
        positions.without(described(rows), found[:5], facet="tokens")
    rows[3, 2] = np.nan
    with pytest.raises(ValueError, match="tokens must be finite"):
        positions.directions(described(rows), facet="tokens", most=2)
