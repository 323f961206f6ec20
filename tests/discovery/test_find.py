"""From the masks that a method found on the patch grid to masks of the picture's pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskdistill import api
from maskdistill.crf import refined_mask
from maskdistill.discovery.find import (
    Discovered,
    discover,
    features_of,
    masks_in_pixels,
    seed_point_xy,
)
from maskdistill.discovery.recipe import WAYS, Input, Recipe
from maskdistill.features import handcrafted
from maskdistill.proposals import pixels, to_pixels
from maskdistill.settings import load, resolve
from maskdistill.types import GridMask
from maskdistill.workflows import demo_pictures

PATCH, CONTENT, SIZE = (
    8,
    (37, 60),
    (74, 90),
)  # the last row and column of patches are filled in part


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def mask_of_an_l() -> GridMask:
    """An L on 5 x 8 patches."""
    mask = torch.zeros(5, 8, dtype=torch.bool)
    mask[1:4, 2], mask[3, 2:6] = True, True
    return GridMask(mask, (1, 2), 0.5)


def drawn(rgb: np.ndarray, pixels: str) -> np.ndarray:
    (mask,) = masks_in_pixels(
        [mask_of_an_l()],
        WAYS[pixels],
        picture=lambda: rgb,
        patch=PATCH,
        content=CONTENT,
        size=SIZE,
    )
    return mask


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_nearest_and_bilinear_do_not_look_at_the_picture(rgb, how):
    mask = drawn(rgb, how)
    wanted = to_pixels(
        mask_of_an_l().mask.numpy(), patch=PATCH, content=CONTENT, size=SIZE, how=how
    )
    np.testing.assert_array_equal(mask, wanted)
    np.testing.assert_array_equal(drawn(255 - rgb, how), mask)


def test_bilinear_cuts_the_outer_corners_that_nearest_keeps_and_has_no_rim(rgb):
    smooth, stairs = drawn(rgb, "bilinear"), drawn(rgb, "nearest")
    assert 0.75 < smooth.sum() / stairs.sum() < 0.95
    assert stairs[16, 24]  # the first pixel of the seed patch, an outer corner of the L
    assert not smooth[16, 24]


def test_refine_begins_with_what_bilinear_gives(rgb):
    smooth, refined = drawn(rgb, "bilinear"), drawn(rgb, "refine")
    np.testing.assert_array_equal(refined, pixels.refine(rgb, smooth))
    assert not np.array_equal(refined, smooth)


def test_crf_begins_with_what_nearest_gives(rgb):
    np.testing.assert_array_equal(drawn(rgb, "crf"), refined_mask(rgb, drawn(rgb, "nearest")))


def test_a_seed_point_is_the_middle_of_what_its_patch_shows_in_the_pictures_pixels():
    place = {"patch": PATCH, "content": CONTENT, "size": SIZE}
    mask = torch.ones(5, 8, dtype=torch.bool)
    seeds = [(1, 2), (0, 0), (4, 7)]  # the last shows 5 px down of 37 and 4 px across of 60
    points = [seed_point_xy(GridMask(mask, seed, 0.5), **place) for seed in seeds]
    assert points == [[[30.0, 24.0]], [[6.0, 8.0]], [[58 * 1.5, 34.5 * 2]]]
    mask[1, 2] = False
    assert seed_point_xy(GridMask(mask, (1, 2), 0.5), **place) == []


def test_another_way_is_refused(rgb):
    recipe = Recipe("lost", Input(), pixels="cubic")
    with pytest.raises(ValueError, match="nearest, bilinear, refine, crf, got 'cubic'"):
        discover(lambda: rgb, size=SIZE, backbone=handcrafted.load(), recipe=recipe)


@pytest.mark.parametrize("backbone", ["handcrafted", "dino_vits16"])
def test_bilinear_is_a_setting_that_is_kept_for_every_backbone(backbone):
    assert (
        resolve(load({"propose": {"backbone": backbone, "pixels": "bilinear"}})).propose.pixels
        == "bilinear"
    )


def test_the_three_ways_give_three_masks_of_the_same_patches():
    rgb = demo_pictures.draw(3, 23, size=(64, 80)).rgb
    ways = ("nearest", "bilinear", "refine")
    given = [{"max_masks": 1, "pixels": how} for how in ways]
    nearest, bilinear, refined = (
        api.discover(rgb, backbone="handcrafted", settings=each)[0]["segmentation"]
        for each in given
    )
    assert (nearest & bilinear).sum() / bilinear.sum() > 0.9
    assert not np.array_equal(nearest, bilinear)
    np.testing.assert_array_equal(refined, pixels.refine(rgb, bilinear))


def test_masks_below_the_least_score_are_left_out_and_the_others_keep_their_order():
    rgb = demo_pictures.draw(3, 23, size=(64, 80)).rgb
    recipe = Recipe("lost", Input(), max_masks=6)
    every, some = (
        discover(
            lambda: rgb,
            size=(64, 80),
            backbone=handcrafted.load(),
            recipe=replace(recipe, min_score=least),
        )
        for least in (0.0, 0.2)
    )
    kept = every.scores >= 0.2
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(some.scores, every.scores[kept])
    np.testing.assert_array_equal(some.masks, every.masks[kept])
    assert some.seed_points_xy == [
        each for each, keeps in zip(every.seed_points_xy, kept, strict=True) if keeps
    ]
    assert list(every.scores[every.best_first]) == sorted(every.scores, reverse=True)


def test_features_that_are_known_are_not_made_again_and_the_picture_is_not_read():
    rgb = demo_pictures.draw(3, 23, size=(64, 80)).rgb
    backbone, recipe = handcrafted.load(), Recipe("lost", Input(short_side=48), max_masks=3)
    wanted = discover(lambda: rgb, size=(64, 80), backbone=backbone, recipe=recipe)
    (known,) = features_of(
        [recipe.shown.prepare(rgb, backbone=backbone)], backbone, block=-1, want=recipe.want
    )

    def never() -> np.ndarray:
        raise AssertionError("the picture was read")

    found = discover(never, size=(64, 80), backbone=backbone, recipe=recipe, features=known)
    assert len(found.masks) > 1
    np.testing.assert_array_equal(found.masks, wanted.masks)
    np.testing.assert_array_equal(found.scores, wanted.scores)


def test_an_empty_mask_is_not_among_the_best_first():
    masks = np.zeros((3, 2, 2), bool)
    masks[0, 0], masks[2] = True, True
    found = Discovered(masks, np.array([0.2, 0.9, 0.5], np.float32), [[], [], []], [])
    assert found.best_first == [2, 0]
