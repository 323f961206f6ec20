"""stages/discover.py: from the masks that a method found on the patch grid to masks of pixels."""

import json

import numpy as np
import pytest
import torch

from maskdistill import api
from maskdistill.crf import refined_mask
from maskdistill.discovery.find import (
    Input,
    Recipe,
    discover,
    in_pixels,
    looked_within_memory,
    prepared,
    seed_points_xy,
)
from maskdistill.features import handcrafted
from maskdistill.proposals import pixels, to_pixels
from maskdistill.settings import load, resolve
from maskdistill.types import Found, GridMask, Note
from maskdistill.workflows import demo_pictures

PATCH, CONTENT, SIZE = (
    8,
    (37, 60),
    (74, 90),
)  # the last row and column of patches are filled in part


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def found(*scores: float) -> Found:
    """A Found of 5 x 8 patches: an L, the same for each score."""
    mask = torch.zeros(5, 8, dtype=torch.bool)
    mask[1:4, 2], mask[3, 2:6] = True, True
    return Found([GridMask(mask, (1, 2), score) for score in scores])


def of(
    rgb: np.ndarray, how: str, *scores: float, min_score: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    return in_pixels(
        found(*scores),
        rgb=rgb,
        patch=PATCH,
        content=CONTENT,
        size=SIZE,
        min_score=min_score,
        how=how,
    )


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_nearest_and_bilinear_do_not_look_at_the_picture(rgb, how):
    (mask,), _ = of(rgb, how, 0.5)
    wanted = to_pixels(
        found(0.5).masks[0].mask.numpy(), patch=PATCH, content=CONTENT, size=SIZE, how=how
    )
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


def test_crf_begins_with_what_nearest_gives(rgb):
    (stairs,), _ = of(rgb, "nearest", 0.5)
    (drawn,), _ = of(rgb, "crf", 0.5)
    np.testing.assert_array_equal(drawn, refined_mask(rgb, stairs))


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
    assert (
        seed_points_xy(below, patch=PATCH, content=CONTENT, size=SIZE, min_score=0.5) == points[1:]
    )
    taken = mask.clone()
    taken[1, 2] = False
    given = Found([GridMask(taken, (1, 2), 0.5)])
    assert seed_points_xy(given, patch=PATCH, content=CONTENT, size=SIZE, min_score=0.5) == [[]]


def test_another_way_is_refused(rgb):
    with pytest.raises(ValueError, match="'nearest' or 'bilinear', got 'cubic'"):
        of(rgb, "cubic", 0.5)


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


class Small:
    """The hand-made backbone of a machine whose memory holds so many patches, all pictures of a batch together."""

    def __init__(self, patches: int, error: Exception) -> None:
        self.inner, self.patches, self.error = handcrafted.load(), patches, error
        self.patch, self.mean, self.std = self.inner.patch, self.inner.mean, self.inner.std
        self.asked: list[int] = []

    def features(self, batch: torch.Tensor, **given):
        n_patches = len(batch) * (batch.shape[2] // self.patch) * (batch.shape[3] // self.patch)
        self.asked.append(n_patches)
        if n_patches > self.patches:
            raise self.error
        return self.inner.features(batch, **given)


def out_of_memory_on_the_cpu() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**16)
    return caught.value


RECIPE = Recipe("tokencut", Input(), constants={"affinity": "gaussian"})


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError(), out_of_memory_on_the_cpu()]
)
def test_a_picture_that_does_not_fit_into_memory_is_tried_smaller_and_the_notes_say_so(error):
    rgb = demo_pictures.draw(3, 23, size=(160, 200)).rgb
    network = Small(200, error)
    masks, _, notes = discover(rgb, backbone=network, recipe=RECIPE)
    assert masks.shape[1:] == (160, 200)
    assert network.asked[0] > 400
    assert network.asked[-1] <= 200
    assert dict(notes)[Note.SMALLER] >= network.asked[-1]
    assert Note.SMALLER not in dict(discover(rgb, backbone=Small(10**6, error), recipe=RECIPE)[2])


def test_what_is_too_large_at_any_size_and_other_errors_are_raised():
    rgb = demo_pictures.draw(3, 23, size=(160, 200)).rgb
    with pytest.raises(MemoryError):
        discover(rgb, backbone=Small(0, MemoryError()), recipe=RECIPE)
    with pytest.raises(RuntimeError, match="broken"):
        discover(rgb, backbone=Small(0, RuntimeError("broken")), recipe=RECIPE)


def test_a_batch_that_does_not_fit_into_memory_is_seen_in_parts():
    network = Small(900, torch.OutOfMemoryError())
    ready = [
        prepared(demo_pictures.draw(3, n, size=(160, 200)).rgb, backbone=network, shown=Input())
        for n in range(4)
    ]
    seen = looked_within_memory(ready, backbone=network, recipe=RECIPE)
    assert len(network.asked) > 1
    for each, features in zip(ready, seen, strict=True):
        (alone,) = network.inner.features(each.tensor[None], want=("keys",))
        torch.testing.assert_close(features.keys, alone.keys)
    assert looked_within_memory(ready[:2], backbone=Small(1, MemoryError()), recipe=RECIPE) == [
        None,
        None,
    ]


def test_such_pictures_of_a_run_get_their_masks_and_stand_in_the_ledger(tmp_path, monkeypatch):
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "truth.json", n_pictures=3, seed=5, size=(160, 200)
    )
    inner = handcrafted.Handcrafted.features

    def features(self, batch: torch.Tensor, **given):
        if batch.shape[2] * batch.shape[3] > 150 * 190:
            raise MemoryError
        return inner(self, batch, **given)

    monkeypatch.setattr(handcrafted.Handcrafted, "features", features)
    settings = {"weights": ["propose=handcrafted"]}
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "run",
        settings=settings,
        until="propose",
        quiet=True,
    )
    rows = list(
        map(json.loads, (tmp_path / "run" / "propose" / "proposals.jsonl").read_text().splitlines())
    )
    assert all(row["masks"] and "smaller" in dict(row["notes"]) for row in rows)
    events = list(map(json.loads, (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()))
    assert sum(event.get("what") == "smaller" for event in events) == 3
