import json
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import mask as coco

from maskdistill.proposals import to_pixels
from maskdistill.proposals.grid import component


def test_a_component_does_not_cross_corners():
    mask = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]], bool)
    np.testing.assert_array_equal(
        component(mask, (1, 1)), np.array([[0, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    )
    assert not component(mask, (0, 1)).any()


def test_nearest_at_the_pictures_own_size_repeats_each_patch(rng):
    mask = rng.random((3, 5)) < 0.5
    pixels = to_pixels(mask, patch=4, content=(11, 18), size=(11, 18))
    for row in range(11):
        for col in range(18):
            assert pixels[row, col] == mask[row // 4, col // 4]


def test_bilinear_takes_what_exceeds_one_half_between_the_patch_centres(rng):
    mask = rng.random((3, 5)) < 0.6
    pixels = to_pixels(mask, patch=4, content=(11, 18), size=(22, 9), how="bilinear")
    for row in range(22):
        for col in range(9):
            y = min(max((row + 0.5) / 2 / 4 - 0.5, 0), 2)
            x = min(max((col + 0.5) * 2 / 4 - 0.5, 0), 4)
            value = sum(
                max(0, 1 - abs(y - r)) * max(0, 1 - abs(x - c))
                for r in range(3)
                for c in range(5)
                if mask[r, c]
            )
            if abs(value - 0.5) > 1e-5:
                assert pixels[row, col] == (value > 0.5)


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_empty_stays_empty_and_full_stays_full(how):
    for value in (False, True):
        pixels = to_pixels(
            np.full((3, 5), value), patch=8, content=(20, 37), size=(13, 50), how=how
        )
        assert pixels.shape == (13, 50)
        assert (pixels == value).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="mask"):
        to_pixels(np.zeros((3, 5)), patch=8, content=(20, 37), size=(13, 50))
    with pytest.raises(ValueError, match="content"):
        to_pixels(np.zeros((3, 5), bool), patch=8, content=(25, 37), size=(13, 50))
    with pytest.raises(ValueError, match="how"):
        to_pixels(np.zeros((3, 5), bool), patch=8, content=(20, 37), size=(13, 50), how="cubic")


def test_nearest_grows_the_mask_exactly_as_the_original_does(reference: Path) -> None:
    cases = json.loads((reference / "golden" / "proposals" / "polygons.json").read_text())["cases"]
    for case in cases:
        pixels = to_pixels(
            coco.decode(case["patch_mask"]).astype(bool),
            patch=case["patch"],
            content=tuple(case["content_hw"]),
            size=tuple(case["picture_hw"]),
        )
        np.testing.assert_array_equal(
            pixels, coco.decode(case["resized_mask"]).astype(bool), err_msg=case["name"]
        )
