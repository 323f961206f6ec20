"""stages/discover.py: from the masks that a method found on the patch grid to masks of pixels."""

import numpy as np
import pytest
import torch

from maskdistill import api
from maskdistill.datasets import synthetic
from maskdistill.proposals import pixels, to_pixels
from maskdistill.settings import load, resolve
from maskdistill.stages.discover import in_pixels, seed_points_xy
from maskdistill.types import Found, GridMask

PATCH, CONTENT, SIZE = 8, (37, 60), (74, 90)  # the last row and column of patches are filled in part


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def found(*scores: float) -> Found:
    """A Found of 5 x 8 patches: an L, the same for each score."""
    mask = torch.zeros(5, 8, dtype=torch.bool)
    mask[1:4, 2], mask[3, 2:6] = True, True
    return Found([GridMask(mask, (1, 2), score) for score in scores])


def of(rgb: np.ndarray, how: str, *scores: float, min_score: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    return in_pixels(rgb, found(*scores), patch=PATCH, content=CONTENT, min_score=min_score, how=how)


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_nearest_and_bilinear_do_not_look_at_the_picture(rgb, how):
    (mask,), _ = of(rgb, how, 0.5)
    wanted = to_pixels(found(0.5).masks[0].mask.numpy(), patch=PATCH, content=CONTENT, size=SIZE, how=how)
    np.testing.assert_array_equal(mask, wanted)
    np.testing.assert_array_equal(of(255 - rgb, how, 0.5)[0][0], mask)


def test_bilinear_cuts_the_outer_corners_that_nearest_keeps_and_has_no_rim(rgb):
    (smooth,), _ = of(rgb, "bilinear", 0.5)
    (stairs,), _ = of(rgb, "nearest", 0.5)
    assert 0.75 < smooth.sum() / stairs.sum() < 0.95
    assert stairs[16, 24]  # the first pixel of the seed patch, an outer corner of the L
    assert not smooth[16, 24]


def test_refine_begins_with_what_bilinear_gives(rgb):
    (smooth,), _ = of(rgb, "bilinear", 0.5)
    (refined,), _ = of(rgb, "refine", 0.5)
    np.testing.assert_array_equal(refined, pixels.refine(rgb, smooth))
    assert not np.array_equal(refined, smooth)


def test_masks_below_the_least_score_are_left_out_and_the_others_keep_their_order(rgb):
    masks, scores = of(rgb, "bilinear", 0.2, 0.9, 0.5, min_score=0.5)
    assert masks.shape == (2, *SIZE)
    np.testing.assert_array_equal(scores, np.array([0.9, 0.5], np.float32))
    assert of(rgb, "bilinear", 0.2, min_score=0.5)[0].shape == (0, *SIZE)


def test_a_seed_point_is_the_middle_of_what_its_patch_shows_in_the_pictures_pixels():
    mask = torch.ones(5, 8, dtype=torch.bool)
    seeds = [(1, 2), (0, 0), (4, 7)]  # the last shows 5 px down of 37 and 4 px across of 60
    given = Found([GridMask(mask, seed, 0.5) for seed in seeds])
    points = seed_points_xy(given, patch=PATCH, content=CONTENT, size=SIZE, min_score=0.5)
    assert points == [[[30.0, 24.0]], [[6.0, 8.0]], [[58 * 1.5, 34.5 * 2]]]
    below = Found([GridMask(mask, (1, 2), 0.2), *given.masks[1:]])
    assert seed_points_xy(below, patch=PATCH, content=CONTENT, size=SIZE, min_score=0.5) == points[1:]
    taken = mask.clone()
    taken[1, 2] = False
    given = Found([GridMask(taken, (1, 2), 0.5)])
    assert seed_points_xy(given, patch=PATCH, content=CONTENT, size=SIZE, min_score=0.5) == [[]]


def test_another_way_is_refused(rgb):
    with pytest.raises(ValueError, match="'nearest' or 'bilinear', got 'cubic'"):
        of(rgb, "cubic", 0.5)


@pytest.mark.parametrize("backbone", ["handcrafted", "dino_vits16"])
def test_bilinear_is_a_setting_that_is_kept_for_every_backbone(backbone):
    assert resolve(load({"propose": {"backbone": backbone, "pixels": "bilinear"}})).propose.pixels == "bilinear"


def test_the_three_ways_give_three_masks_of_the_same_patches():
    rgb = synthetic.draw(3, 23, size=(64, 80)).rgb
    ways = ("nearest", "bilinear", "refine")
    given = [{"max_masks": 1, "pixels": how} for how in ways]
    nearest, bilinear, refined = (
        api.discover(rgb, backbone="handcrafted", settings=each)[0]["segmentation"] for each in given
    )
    assert (nearest & bilinear).sum() / bilinear.sum() > 0.9
    assert not np.array_equal(nearest, bilinear)
    np.testing.assert_array_equal(refined, pixels.refine(rgb, bilinear))
