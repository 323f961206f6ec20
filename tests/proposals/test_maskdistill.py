import numpy as np
import pytest
import torch

from maskdistill.proposals import maskdistill
from maskdistill.types import Features, Note
from tests.reference import maskdistill as reference


def drawn(rng, grid=(5, 7), heads=3, dim=8, shift=0.0) -> Features:
    shape = (heads, 1 + grid[0] * grid[1], dim)
    queries, keys = rng.standard_normal((2, *shape)).astype(np.float32) + np.float32(shift)
    return Features(
        grid=grid, patch=8, queries=torch.from_numpy(queries), keys=torch.from_numpy(keys)
    )


@pytest.mark.parametrize("rule", ["signed", "positive"])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_the_mask_is_that_of_the_plain_loops(rng, rule, heads):
    for _ in range(10):
        features = drawn(rng)
        mask, seed = reference.mask(
            features.queries.double().numpy(),
            features.keys.double().numpy(),
            features.grid,
            heads=heads,
            signed=rule == "signed",
        )
        found = maskdistill.discover(features, heads=heads, mass_rule=rule).masks[0]
        np.testing.assert_array_equal(found.mask.numpy(), mask)
        assert found.seed_patch == divmod(seed, 7)


def test_the_last_head_does_not_count_for_the_attention_unless_it_is_the_only_one(rng):
    features = drawn(rng)
    assert torch.equal(
        maskdistill.discover(features).masks[0].mask,
        maskdistill.discover(features, heads=2).masks[0].mask,
    )
    maskdistill.discover(drawn(rng, heads=1))


def test_further_masks_do_not_overlap_and_the_search_says_why_it_ended(rng):
    found = maskdistill.discover(drawn(rng), max_masks=1000)
    assert 1 < len(found.masks) < 1000
    assert torch.stack([each.mask for each in found.masks]).sum(0).max() == 1
    assert found.notes[0][0] is Note.STOPPED
    assert all(each.mask[each.seed_patch] and 0 <= each.score <= 1 for each in found.masks)


def test_centred_keys_undo_a_component_that_all_patches_share(rng):
    features = drawn(rng, shift=5.0)
    assert maskdistill.discover(features).masks[0].mask.all()
    assert not maskdistill.discover(features.centred()).masks[0].mask.all()


def test_equal_patches_are_taken_lowest_first():
    ones = torch.ones(2, 13, 4)
    found = maskdistill.discover(Features(grid=(3, 4), patch=8, queries=ones, keys=ones)).masks
    # The running sum keeps the later half of equals, because the sort is stable: the first of these is the seed.
    assert found[0].seed_patch == divmod(6, 4)
    assert found[0].mask.all()
    assert found[0].score == 0.0


def test_bad_input_is_named(rng):
    features = drawn(rng)
    with pytest.raises(ValueError, match="queries"):
        maskdistill.discover(Features(grid=(5, 7), patch=8, keys=features.keys))
    with pytest.raises(ValueError, match="grid"):
        maskdistill.discover(
            Features(grid=(5, 6), patch=8, queries=features.queries, keys=features.keys)
        )
    for constants in (
        {"max_masks": 0},
        {"top_fraction": 0.0},
        {"mass": np.nan},
        {"mass_rule": "x"},
        {"heads": 4},
    ):
        with pytest.raises(ValueError, match=next(iter(constants))):
            maskdistill.discover(features, **constants)
    for constants in (
        {"stop_score": np.nan},
        {"stop_score": 5},
        {"stop_score": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(constants))):
            maskdistill.discover(features, **constants)
    features.keys[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        maskdistill.discover(features)
