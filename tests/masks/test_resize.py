"""masks/resize.py: one way to a smaller mask, for every room that works on a reduced picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskdistill.clusters import descriptors
from maskdistill.masks.resize import reduced, resized, shares, within
from maskdistill.report import colours, overlays
from tests.reference import masks as reference

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@pytest.mark.parametrize(
    "size, max_side, wanted",
    [
        ((30, 40), 40, (30, 40)),
        ((30, 40), 20, (15, 20)),
        ((40, 30), 20, (20, 15)),
        ((1, 100), 10, (1, 10)),
        ((300, 400), None, (300, 400)),
    ],
)
def test_the_longer_side_is_at_most_what_is_allowed_and_no_side_vanishes(size, max_side, wanted):
    assert within(size, max_side) == wanted


def test_a_mask_of_blocks_survives_enlarging_and_reducing():
    mask = np.zeros((3, 5), bool)
    mask[1:, 2:4] = True
    large = resized(mask, (30, 50))
    assert large.shape == (30, 50)
    assert large[15:, 25:35].all()
    assert not large[:8].any()
    np.testing.assert_array_equal(resized(large, (3, 5)), mask)


@given(arrays.arrays(bool, sizes), sizes)
def test_a_resized_mask_is_what_half_of_the_average_or_more_is(mask, size):
    average = reference.averaged(mask, size)
    found = resized(mask, size)
    assert found.shape == size
    sure = np.abs(average - 0.5) > 0.01  # 8 bits in between, each way
    np.testing.assert_array_equal(found[sure], (average > 0.5)[sure])


@given(arrays.arrays(bool, sizes), sizes)
def test_a_mask_that_would_vanish_is_kept_as_the_pixels_that_it_touches(mask, size):
    plain, kept = resized(mask, size), resized(mask, size, keep=True)
    assert kept.any() == mask.any()
    if plain.any():
        np.testing.assert_array_equal(kept, plain)


def test_a_line_that_would_vanish_becomes_the_row_that_it_lies_in():
    line = np.zeros((30, 40), bool)
    line[17, 4:36] = True
    assert not resized(line, (3, 4)).any()
    np.testing.assert_array_equal(
        resized(line, (3, 4), keep=True), np.arange(3)[:, None] == [1] * 4
    )


@given(arrays.arrays(bool, (6, 8)))
def test_shares_are_the_means_of_the_pixels_that_become_one(mask):
    means = mask.reshape(3, 2, 2, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(shares(mask, (3, 2)), means, atol=1 / 255)
    np.testing.assert_array_equal(shares(mask, mask.shape), mask)


def test_a_reduced_picture_holds_the_means_and_one_of_that_size_is_itself(rng):
    rgb = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    means = rgb.reshape(3, 2, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced(rgb[:, ::-1], (3, 2)), means[:, ::-1], atol=1)
    assert reduced(rgb, (6, 8)) is rgb


@pytest.fixture
def ragged(rng) -> np.ndarray:
    """A mask (45, 61) whose outline falls between the pixels of a smaller size."""
    rows, columns = np.mgrid[:45, :61]
    return np.hypot(rows - 22, columns - 30) < 16 + 3 * np.sin(columns)


def test_a_thumbnails_outlines_are_those_of_the_mask_that_every_room_makes(ragged):
    rgb = np.full((31, 42, 3), 100, np.uint8)
    painted = overlays.overlay_masks(rgb, ragged[None], np.array([0]), alpha=0)
    outline = (painted == colours.palette(1)[1]).all(axis=2)
    small = resized(ragged, (31, 42))
    np.testing.assert_array_equal(outline, reference.inner_edge(small))


def test_a_reduced_pictures_descriptors_are_those_of_the_mask_that_every_room_makes(rng, ragged):
    rgb = rng.integers(0, 256, (45, 61, 3)).astype(np.uint8)
    size = within(rgb.shape[:2], 42)
    wanted = descriptors(reduced(rgb, size), resized(ragged, size)[None])
    np.testing.assert_array_equal(descriptors(rgb, ragged[None], max_side=42), wanted)
