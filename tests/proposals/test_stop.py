"""The rules by which a search for more masks ends: one meaning for all methods."""

import numpy as np
import pytest
import torch

from maskdistill.proposals import lost, maskcut, maskdistill, tokencut
from maskdistill.proposals.object_test import is_object
from maskdistill.types import Features, Note

METHODS = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
SOUND = {"lost": {"rule": "sound"}, "tokencut": {"rule": "sound"}, "maskcut": {"rule": "sound"}}


def drawn(rng, grid=(9, 11)) -> Features:
    n = grid[0] * grid[1]
    blobs = (
        rng.standard_normal((3, 4, 5, 8))
        .repeat(3, axis=1)
        .repeat(3, axis=2)[:, : grid[0], : grid[1]]
    )
    keys = blobs.reshape(3, n, 8) + 0.8 * rng.standard_normal((3, n, 8))
    keys = torch.from_numpy(
        np.concatenate([keys.mean(1, keepdims=True), keys], axis=1).astype(np.float32)
    )
    return Features(grid=grid, patch=8, queries=-keys, keys=keys)


@pytest.mark.parametrize("rule", ["paper", "sound"])
@pytest.mark.parametrize("method", METHODS)
def test_the_search_ends_at_the_first_mask_that_scores_less(rng, method, rule):
    constants = SOUND.get(method, {}) if rule == "sound" else {}
    ended = 0
    for _ in range(8):
        features = drawn(rng)
        every = METHODS[method](features, max_masks=6, **constants).masks
        for stop_score in (0.05, 0.2, 0.5):
            found = METHODS[method](features, max_masks=6, stop_score=stop_score, **constants)
            low = next(
                (row for row, each in enumerate(every) if each.score < stop_score), len(every)
            )
            assert [each.score for each in found.masks] == [each.score for each in every[:low]]
            assert ((Note.STOPPED, "mask below stop_score") in found.notes) == (low < len(every))
            ended += low < len(every)
    assert ended


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_one_kind_of_patch_has_no_mask_that_scores(method):
    features = Features(
        grid=(5, 6), patch=8, queries=torch.ones(2, 31, 4), keys=torch.ones(2, 31, 4)
    )
    found = METHODS[method](features, max_masks=3, stop_score=0.05, **SOUND.get(method, {}))
    assert found.masks == []
    assert any(word is Note.STOPPED for word, _ in found.notes)


def test_sound_cuts_reject_what_is_ground_from_the_first_mask_on():
    keys = torch.zeros(1, 1 + 60, 2)
    keys[0, 1:, 0] = 1
    inner = torch.zeros(6, 10, dtype=torch.bool)
    inner[1:5, 1:9] = True  # 32 of 60 patches; the frame around it is all border
    keys[0, 1:][inner.ravel()] = torch.tensor([0.0, 1.0])
    features = Features(grid=(6, 10), patch=8, keys=keys)
    limits = {"max_area": 0.5, "max_border": 0.5}
    for discover in (tokencut.discover, maskcut.discover):
        paper = discover(features, max_masks=1, rule="paper", **limits).masks
        assert [is_object(each.mask.numpy(), min_area=1, **limits) for each in paper] == [False]
        for each in discover(features, max_masks=1, rule="sound", **limits).masks:
            assert is_object(each.mask.numpy(), min_area=1, **limits)
            assert not torch.equal(each.mask, paper[0].mask)


def test_an_object_is_neither_small_nor_large_nor_along_the_border():
    mask = np.zeros((6, 8), bool)
    mask[1:4, 0:3] = True  # 9 of 48 patches, 3 of the border's 24
    assert is_object(mask, min_area=9, max_area=9 / 48, max_border=3 / 24)
    assert not is_object(mask, min_area=10, max_area=1, max_border=1)
    assert not is_object(mask, min_area=1, max_area=8.9 / 48, max_border=1)
    assert not is_object(mask, min_area=1, max_area=1, max_border=2.9 / 24)
    assert not is_object(np.zeros((1, 7), bool), min_area=1, max_area=1, max_border=1)
    assert is_object(
        np.arange(7)[None] < 3, min_area=1, max_area=0.5, max_border=0.5
    )  # a grid of one row
