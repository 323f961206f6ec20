import numpy as np
import pytest
from scipy import ndimage

from maskdistill.proposals.pixels import refine


def disc(size, radius):
    row, col = np.mgrid[: size[0], : size[1]]
    return np.hypot(row - size[0] / 2, col - size[1] / 2) < radius


def painted(rng, mask):
    colours = np.where(mask[..., None], (200, 120, 40), (90, 110, 140)) + rng.normal(
        0, 15, (*mask.shape, 3)
    )
    return np.clip(colours, 0, 255).astype(np.uint8)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("size, radius, shift", [((90, 120), 25, 5), ((900, 1200), 300, 50)])
def test_an_outline_that_is_off_moves_to_the_edge(rng, size, radius, shift):
    truth = disc(size, radius)
    coarse = np.roll(disc(size, radius + shift), shift, axis=1)
    refined = refine(painted(rng, truth), coarse)
    assert iou(coarse, truth) < 0.75
    assert iou(refined, truth) > 0.95


def test_a_large_mask_is_worked_on_reduced_to_the_longest_side_allowed(rng):
    truth = disc((180, 240), 50)
    rgb, coarse = painted(rng, truth), np.roll(disc((180, 240), 58), 6, axis=1)
    whole, reduced = (refine(rgb, coarse, max_side=side) for side in (320, 40))
    assert not np.array_equal(reduced, whole)
    assert iou(reduced, truth) > 0.9


def test_the_picture_outside_the_band_does_not_matter(rng):
    truth = disc((80, 110), 15)
    rgb = painted(rng, truth)
    far = rgb.copy()
    far[:10] = 255 - far[:10]
    coarse = ndimage.binary_dilation(truth, iterations=3)
    np.testing.assert_array_equal(refine(rgb, coarse), refine(far, coarse))


def test_a_large_hole_stays_and_a_small_one_is_filled(rng):
    ring = disc((90, 120), 35) & ~disc((90, 120), 15)
    speckled = ring.copy()
    speckled[20:24, 58:62] = False
    assert iou(refine(painted(rng, speckled), ring), ring) > 0.93


def test_a_flat_picture_keeps_the_mask_as_it_is(rng):
    mask = disc((40, 50), 12)
    assert iou(refine(np.full((40, 50, 3), 128, np.uint8), mask), mask) > 0.9


@pytest.mark.parametrize(
    "mask", [np.zeros((9, 13), bool), np.ones((9, 13), bool), np.eye(9, 13) > 0]
)
def test_nothing_breaks_on_an_empty_a_full_and_a_thin_mask(rng, mask):
    refined = refine(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8), mask)
    assert refined.shape == mask.shape
    assert refined.any() == mask.any()


def test_bad_input_is_named(rng):
    with pytest.raises(ValueError, match="mask"):
        refine(np.zeros((5, 6, 3), np.uint8), np.zeros((6, 5), bool))
    with pytest.raises(ValueError, match=r"rgb must be \(H, W, 3\)"):
        refine(np.zeros((5, 6, 4), np.uint8), np.zeros((5, 6), bool))
    with pytest.raises(ValueError, match="band"):
        refine(np.zeros((5, 6, 3), np.uint8), np.zeros((5, 6), bool), band=0.0)
