import json

import numpy as np
import pytest
import torch

from maskdistill.proposals import maskcut
from maskdistill.types import Features, Note


def made(keys: np.ndarray, grid: tuple[int, int]) -> Features:
    whole = np.concatenate([np.zeros((1, keys.shape[1])), keys])[None]
    return Features(grid=grid, patch=8, keys=torch.from_numpy(whole.astype(np.float32)))


def scene(
    *boxes: tuple[slice, slice], grid=(12, 15), noise=0.0, seed=0
) -> tuple[Features, list[np.ndarray]]:
    """Ground and objects of directions at right angles, later objects on top; each object's visible mask."""
    kinds = np.zeros(grid, int)
    for number, box in enumerate(boxes, 1):
        kinds[box] = number
    keys = np.eye(8)[kinds.ravel()] + noise * np.random.default_rng(seed).standard_normal(
        (kinds.size, 8)
    )
    return made(keys, grid), [kinds == number for number in range(1, len(boxes) + 1)]


TWO = (np.s_[2:6, 2:6], np.s_[7:11, 8:13])


@pytest.mark.parametrize("rule", ["paper", "sound"])
def test_two_objects_are_found_one_after_the_other(rule):
    features, objects = scene(*TWO, noise=0.05)
    found = maskcut.discover(features, max_masks=2, rule=rule).masks
    assert len(found) == 2
    for wanted in objects:
        assert any(np.array_equal(each.mask.numpy(), wanted) for each in found)
    assert all(each.mask[each.seed_patch] and 0 < each.score <= 1 for each in found)


def test_masks_never_overlap_and_are_never_empty(rng):
    for rule in ("paper", "sound"):
        for _ in range(5):
            features = made(rng.standard_normal((80, 6)), (8, 10))
            masks = [each.mask for each in maskcut.discover(features, max_masks=4, rule=rule).masks]
            assert torch.stack(masks).sum(0).max() == 1
            assert all(mask.any() for mask in masks)


def test_a_rejected_cut_comes_back_under_the_papers_rule_and_not_under_the_sound_one():
    """The paper's second cut is the object again: rejected; so is the third, but, compared with nothing, it passes."""
    features, (wanted,) = scene(np.s_[3:8, 4:9], noise=0.02)
    paper = maskcut.discover(features)
    np.testing.assert_array_equal([each.mask.numpy() for each in paper.masks], [wanted])
    assert paper.notes == [
        (Note.REJECTED, 1),
        (Note.STOPPED, "no more cuts"),
    ]  # three cuts for three masks
    assert maskcut.discover(features, max_overlap=1.0).notes == [(Note.STOPPED, "no more cuts")]
    sound = maskcut.discover(features, rule="sound")
    np.testing.assert_array_equal(sound.masks[0].mask.numpy(), wanted)
    assert (len(sound.masks), sound.notes) == (3, [])
    for later in sound.masks[1:]:
        assert not (later.mask.numpy() & wanted).any()


def test_the_sound_rule_goes_on_behind_rejected_cuts():
    features, _ = scene(*TWO, noise=0.02)
    found = maskcut.discover(features, max_masks=3, rule="sound")
    assert len(found.masks) == 3
    ((note, value),) = found.notes
    assert json.loads(json.dumps([note.value, value])) == ["rejected", value]
    assert value > 0  # so more than three cuts


def test_the_side_that_holds_three_corners_is_ground():
    grid = (10, 10)
    frame = np.ones(grid, bool)
    frame[2:8, 2:8] = False
    strong = np.where(frame.ravel()[:, None], [1.0, 0.0], [0.0, 1.0])
    found = maskcut.discover(made(strong, grid), max_masks=1).masks
    np.testing.assert_array_equal(found[0].mask.numpy(), ~frame)


def test_a_mask_below_the_least_share_is_judged_from_the_second_cut_on_or_from_the_first():
    features, _ = scene(np.s_[5:6, 5:6])
    assert maskcut.discover(features, max_masks=1, min_share=0.01).masks[0].mask.sum() == 1
    sound = maskcut.discover(features, max_masks=1, min_share=0.01, rule="sound")
    assert all(each.mask.sum() > 1 for each in sound.masks)
    assert (Note.REJECTED, 1) in sound.notes


@pytest.mark.parametrize("rule", ["paper", "sound"])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (1, 9), (2, 2), (4, 4)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_of_one_colour_and_tiny_grids_do_no_harm(grid, value, rule):
    found = maskcut.discover(made(np.full((grid[0] * grid[1], 4), value), grid), rule=rule)
    assert len(found.masks) <= 3
    assert all(each.mask.any() and 0 <= each.score <= 1 for each in found.masks)
    if grid == (1, 1):
        assert found.notes == [(Note.STOPPED, "one patch cannot be cut")]


def test_bad_input_is_named(rng):
    features = made(rng.standard_normal((12, 4)), (3, 4))
    with pytest.raises(ValueError, match="hold none"):
        maskcut.discover(Features(grid=(3, 4), patch=8, queries=features.keys))
    wrong = {
        "max_masks": 0,
        "threshold": 1.5,
        "floor": 0.0,
        "min_share": 1.0,
        "max_overlap": -0.1,
        "rule": "x",
    }
    limits = [
        ("stop_score", np.nan),
        ("stop_score", 5),
        ("stop_score", -1),
        ("max_area", 7),
        ("max_border", np.nan),
    ]
    for name, value in [*wrong.items(), *limits]:
        with pytest.raises(ValueError, match=name):
            maskcut.discover(features, **{name: value})
    features.keys[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        maskcut.discover(features)
