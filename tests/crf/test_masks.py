import numpy as np
import pytest
from scipy import ndimage

from maskdistill.crf import MASKCUT, dense_crf, refined_mask


def scene(size=(60, 80)):
    """A bright box on a dark ground, and a mask of it that is off by some pixels on every side."""
    truth = np.zeros(size, bool)
    truth[15:45, 20:60] = True
    rgb = np.where(truth[..., None], np.uint8(210), np.uint8(40)).repeat(3, axis=2)
    coarse = np.zeros(size, bool)
    coarse[12:41, 24:64] = True
    return rgb, truth, coarse


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_mask_is_drawn_to_the_edges_of_its_picture():
    rgb, truth, coarse = scene()
    assert iou(coarse, truth) < 0.75
    assert iou(refined_mask(rgb, coarse), truth) > 0.95


def by_mean_field(rgb, mask):
    """Two classes, MaskCut's setting, holes filled: whatever became of the mask."""
    logits = np.stack([1.0 - mask, mask])
    given = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)
    found = dense_crf(rgb, given, **MASKCUT)
    return ndimage.binary_fill_holes(found[1] > found[0])


def with_noise(rgb):
    noise = np.random.default_rng(0).integers(-40, 41, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def test_it_is_mean_field_of_two_classes_with_the_setting_of_maskcut():
    rgb, _, coarse = scene()
    moved = by_mean_field(with_noise(rgb), coarse)
    assert iou(moved, coarse) > 0.5
    np.testing.assert_array_equal(refined_mask(with_noise(rgb), coarse), moved)


def test_holes_are_filled():
    rgb, _, coarse = scene()
    rgb[28:32, 38:42] = 40  # a dark spot in the box
    assert refined_mask(rgb, coarse)[28:32, 38:42].all()


def test_a_mask_that_would_move_too_far_is_dropped():
    rgb, _, _ = scene()
    half = np.zeros((60, 80), bool)
    half[15:45, 20:36] = True
    moved = by_mean_field(with_noise(rgb), half)
    assert 0 < iou(moved, half) < 0.5
    assert not refined_mask(with_noise(rgb), half).any()


def test_a_large_picture_is_worked_on_reduced():
    rgb, truth, coarse = scene()
    large = [np.repeat(np.repeat(each, 12, axis=0), 12, axis=1) for each in (rgb, truth, coarse)]
    assert iou(refined_mask(large[0], large[2]), large[1]) > 0.9
    assert refined_mask(large[0], large[2]).shape == (720, 960)


@pytest.mark.parametrize("full", [False, True])
def test_an_empty_mask_and_a_full_one_come_back(full):
    rgb, _, _ = scene()
    mask = np.full((60, 80), full)
    found = refined_mask(rgb, mask)
    np.testing.assert_array_equal(found, mask)
    assert found is not mask


def test_bad_input_is_named():
    rgb, _, coarse = scene()
    with pytest.raises(ValueError, match=r"mask \(H, W\) bool, got"):
        refined_mask(rgb, coarse.astype(np.uint8))
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\)"):
        refined_mask(np.concatenate([rgb, rgb[..., :1]], axis=2), coarse)
