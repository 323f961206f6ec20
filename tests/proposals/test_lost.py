import numpy as np
import pytest
import torch

from maskdistill.proposals import lost
from maskdistill.proposals.spectral import products
from maskdistill.types import Features, Note
from tests.reference import lost as reference


def made(keys: np.ndarray, grid: tuple[int, int]) -> Features:
    return Features(grid=grid, patch=8, keys=torch.from_numpy(keys.astype(np.float32)))


def drawn(rng, grid=(5, 7), heads=3, dim=8, shift=0.0) -> Features:
    return made(rng.standard_normal((heads, 1 + grid[0] * grid[1], dim)) + shift, grid)


@pytest.mark.parametrize("n_candidates", [1, 9, 100])
def test_the_mask_is_that_of_the_plain_loops(rng, n_candidates):
    for _ in range(10):
        features = drawn(rng)
        mask, seed = reference.mask(features.keys.numpy(), features.grid, n_candidates=n_candidates)
        found = lost.discover(features, n_candidates=n_candidates).masks[0]
        np.testing.assert_array_equal(found.mask.numpy(), mask)
        assert found.seed_patch == divmod(seed, 7)


def test_degrees_do_not_depend_on_the_blocks(rng, monkeypatch):
    keys = rng.standard_normal((35, 12)).astype(np.float32)
    keys[4] = 0
    every = keys.astype(float) @ keys.T.astype(float)
    np.fill_diagonal(every, 0)
    wanted = (every > 0).sum(axis=1)
    assert wanted[4] == 0
    for rows in (1, 8, 34, 256):
        monkeypatch.setattr(products, "_ROWS", rows)
        np.testing.assert_array_equal(lost.degrees(keys), wanted)


def test_further_masks_do_not_overlap_and_the_search_says_why_it_ended(rng):
    found = lost.discover(drawn(rng), max_masks=1000)
    assert 1 < len(found.masks) < 1000
    assert torch.stack([each.mask for each in found.masks]).sum(0).max() == 1
    assert found.notes[0][0] is Note.STOPPED
    assert all(each.mask[each.seed_patch] and 0 <= each.score <= 1 for each in found.masks)


def test_an_object_that_is_unlike_its_ground_is_found_alone():
    keys = np.zeros((1, 1 + 48, 2))
    inside = np.zeros((6, 8), bool)
    inside[2:4, 3:6] = True
    keys[0, 1:] = np.where(inside.reshape(-1, 1), [1.0, 0.0], [-1.0, 0.1])
    found = lost.discover(made(keys, (6, 8))).masks
    np.testing.assert_array_equal(found[0].mask.numpy(), inside)
    assert found[0].score == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (3, 3)])
def test_zero_keys_give_no_mask_and_equal_ones_everything(grid):
    shape = (2, 1 + grid[0] * grid[1], 4)
    nothing = lost.discover(made(np.zeros(shape), grid))
    assert nothing.masks == []
    assert nothing.notes == [(Note.STOPPED, "the seed patch resembles nothing")]
    everything = lost.discover(made(np.ones(shape), grid)).masks
    assert everything[0].mask.all()
    assert everything[0].seed_patch == (0, 0)
    assert everything[0].score == 0.0


def test_patches_that_all_repel_each_other_give_a_mask_of_one(rng):
    keys = np.eye(9) - 1 / 9
    found = lost.discover(made(np.concatenate([np.zeros((1, 9)), keys])[None], (3, 3))).masks
    assert found[0].mask.sum() == 1
    assert found[0].seed_patch == (0, 0)


def test_bad_input_is_named(rng):
    features = drawn(rng)
    with pytest.raises(ValueError, match="hold none"):
        lost.discover(Features(grid=(5, 7), patch=8, queries=features.keys))
    with pytest.raises(ValueError, match="grid"):
        lost.discover(Features(grid=(5, 6), patch=8, keys=features.keys))
    for name in ("max_masks", "n_candidates"):
        with pytest.raises(ValueError, match=name):
            lost.discover(features, **{name: 0})
    for value in (np.nan, 5, -1):
        with pytest.raises(ValueError, match="stop_score"):
            lost.discover(features, stop_score=value)
    features.keys[0, 1, 0] = np.inf
    with pytest.raises(ValueError, match="finite"):
        lost.discover(features)


def test_of_equal_degrees_the_paper_takes_the_lowest_patch_and_sound_the_one_that_is_liked_least():
    # Patches 1 and 3 are each like one other patch, patch 3 less so.
    keys = np.zeros((1, 1 + 5, 4))
    keys[0, 2], keys[0, 3] = [1, 0, 0, 0], [1, 0, 0, 0]
    keys[0, 4], keys[0, 5] = [0, 0.5, 0, 0], [0, 0.5, 0, 0]
    keys[0, 1] = [1, 1, 0, 0]
    features = made(keys, (1, 5))
    assert lost.discover(features).masks[0].seed_patch == (0, 1)
    assert lost.discover(features, rule="sound").masks[0].seed_patch == (0, 3)


def test_sound_ties_by_the_whole_order_of_all_patches(rng):
    keys = rng.standard_normal((60, 5)).astype(np.float32)
    products = np.maximum(keys.astype(float) @ keys.T, 0)
    np.fill_diagonal(products, 0)
    counts = lost.degrees(keys)
    assert len(set(counts)) < 40  # there are ties
    wanted = np.lexsort((products.sum(axis=1), counts))
    for n_candidates in (1, 7, 30, 100):
        order = lost._by_degree(keys, n_candidates=n_candidates, rule="sound")
        assert order[0] == wanted[0]
        assert set(order[:n_candidates]) == set(wanted[:n_candidates])


def test_with_sound_ties_a_mirrored_picture_has_mirrored_masks(rng):
    for _ in range(20):
        features = drawn(rng)
        placed = features.keys[:, 1:].reshape(3, 5, 7, 8).flip(2).reshape(3, 35, 8)
        mirrored = made(np.concatenate([features.keys[:, :1], placed], axis=1), (5, 7))
        one, other = (
            lost.discover(each, rule="sound", max_masks=4).masks for each in (features, mirrored)
        )
        assert [each.mask.flip(1).tolist() for each in one] == [
            each.mask.tolist() for each in other
        ]
