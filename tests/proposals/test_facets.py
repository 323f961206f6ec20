"""Every method compares patches by the facet that it is told; the attention of MaskDistill stays that of keys."""

import dataclasses

import numpy as np
import pytest
import torch

from maskdistill.proposals import lost, maskcut, maskdistill, tokencut
from maskdistill.proposals.spectral import affinity
from maskdistill.types import FACETS, Features

GRID, HEADS, DIM = (6, 7), 3, 8


@pytest.fixture
def features(rng) -> Features:
    shape = (4, HEADS, 1 + GRID[0] * GRID[1], DIM)
    queries, keys, values, tokens = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    tokens = tokens.transpose(0, 1).flatten(1)
    return Features(grid=GRID, patch=8, queries=queries, keys=keys, values=values, tokens=tokens)


@pytest.mark.parametrize("facet", FACETS)
@pytest.mark.parametrize("method", [lost, tokencut, maskcut])
def test_a_facet_stands_in_the_place_of_the_keys(features, method, facet):
    stands = getattr(features, facet) if facet != "tokens" else features.tokens[None]
    wanted = method.discover(Features(grid=GRID, patch=8, keys=stands)).masks
    found = method.discover(features, facet=facet).masks
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.mask, other.mask)
        assert one.score == pytest.approx(other.score, abs=1e-6)


@pytest.mark.parametrize("facet", FACETS)
def test_maskdistills_attention_is_that_of_the_keys_whatever_the_facet(features, facet):
    found = maskdistill.discover(features, facet=facet).masks[0]
    assert found.seed_patch == maskdistill.discover(features).masks[0].seed_patch
    values = affinity.joined(features, facet=facet)
    seed = values[found.seed_patch[0] * GRID[1] + found.seed_patch[1]]
    assert seed @ values[found.mask.numpy().ravel()].sum(axis=0) > 0


def test_masks_differ_between_facets(features):
    masks = {
        facet: maskdistill.discover(features, facet=facet).masks[0].mask.numpy().tobytes()
        for facet in FACETS
    }
    assert len(set(masks.values())) == len(FACETS)


def test_centring_takes_the_mean_off_every_facet_and_leaves_the_class_token(features):
    centred = features.centred()
    for facet in FACETS:
        before, after = getattr(features, facet), getattr(centred, facet)
        assert torch.equal(after[..., 0, :], before[..., 0, :])
        torch.testing.assert_close(
            after[..., 1:, :], before[..., 1:, :] - before[..., 1:, :].mean(-2, keepdim=True)
        )
    assert Features(grid=GRID, patch=8, keys=features.keys).centred().values is None
    with pytest.raises(ValueError, match="nothing to centre"):
        Features(grid=GRID, patch=8).centred()


def test_a_facet_that_is_missing_or_unknown_or_misshapen_is_named(features):
    with pytest.raises(ValueError, match="values: these features hold none"):
        lost.discover(dataclasses.replace(features, values=None), facet="values")
    with pytest.raises(
        ValueError, match="facet must be one of keys, queries, values, tokens, got 'value'"
    ):
        lost.discover(features, facet="value")
    with pytest.raises(ValueError, match=r"tokens must be \(1 \+ 42, width\)"):
        lost.discover(dataclasses.replace(features, tokens=features.tokens[:-1]), facet="tokens")
