import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from maskdistill.clusters import descriptors, handmade

BLOCKS = {"hues": 12, "tones": 4, "bands": 12, "turns": 12, "outline": 9}


def textured(rng, size=(61, 83)):
    coarse = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
    ).astype(int)
    return np.clip(smooth + rng.integers(-20, 21, (*size, 3)), 0, 255).astype(np.uint8)


def shapes(size=(61, 83)):
    """An ellipse, an L and a ring."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    masks = np.zeros((3, *size), bool)
    masks[0] = ((rows - 30) / 12) ** 2 + ((cols - 40) / 25) ** 2 < 1
    masks[1, 5:45, 8:20] = masks[1, 33:45, 8:50] = True
    away = np.hypot(rows - 31, cols - 50)
    masks[2] = (away > 11) & (away < 22)
    return masks


def test_there_is_a_row_of_one_length_for_each_mask(rng):
    found = descriptors(textured(rng), shapes())
    assert found.shape == (3, sum(BLOCKS.values()))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.linalg.norm(found[0] - found[1]) > 0.1


def test_a_large_picture_is_measured_reduced_and_its_masks_may_come_one_by_one(rng):
    rgb, masks = textured(rng), shapes()
    large, larger = (
        rgb.repeat(3, axis=0).repeat(3, axis=1),
        masks.repeat(3, axis=1).repeat(3, axis=2),
    )
    found = descriptors(large, (mask for mask in larger), max_side=max(rgb.shape))
    np.testing.assert_array_equal(found, descriptors(rgb, masks))
    np.testing.assert_array_equal(
        descriptors(rgb, masks, max_side=max(rgb.shape)), descriptors(rgb, masks)
    )
    assert np.abs(descriptors(large, larger) - found).max() > 0.01


def test_a_mask_that_would_vanish_in_the_reduced_picture_is_still_described(rng):
    rgb, thin = textured(rng), np.zeros((1, *textured(rng).shape[:2]), bool)
    thin[0, 30, 10:60] = True
    assert descriptors(rgb, thin, max_side=16).any()


def test_an_empty_mask_gives_zeros_and_no_mask_no_row(rng):
    masks = shapes()
    masks[1] = False
    found = descriptors(textured(rng), masks)
    assert not found[1].any()
    assert found[[0, 2]].any(axis=1).all()
    assert descriptors(textured(rng), masks[:0]).shape == (0, sum(BLOCKS.values()))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_leaves_a_descriptor_nearly_as_it_was(rng, turns):
    rgb, masks = textured(rng), shapes()
    found = descriptors(rgb, masks)
    turned = descriptors(np.rot90(rgb, turns).copy(), np.rot90(masks, turns, axes=(1, 2)).copy())
    between = min(
        np.linalg.norm(found[one] - found[other]) for one, other in [(0, 1), (0, 2), (1, 2)]
    )
    assert np.linalg.norm(turned - found, axis=1).max() < 0.1 * between
    np.testing.assert_allclose(
        turned[:, :40], found[:, :40], atol=2e-4
    )  # all but the outline, whose rays are cut


def test_a_mirrored_object_keeps_its_descriptor_nearly(rng):
    rgb, masks = textured(rng), shapes()
    found, mirrored = (
        descriptors(rgb, masks),
        descriptors(rgb[:, ::-1].copy(), masks[:, :, ::-1].copy()),
    )
    np.testing.assert_allclose(mirrored[:, :40], found[:, :40], atol=2e-4)
    np.testing.assert_allclose(mirrored[:, 40:], found[:, 40:], atol=0.05)


def test_where_the_object_lies_does_not_matter():
    rng = np.random.default_rng(2)
    rgb = np.full((90, 110, 3), 120, np.uint8)
    here, there = np.zeros((2, 90, 110), bool)
    here[20:40, 15:45] = there[50:70, 62:92] = True
    rgb[here] = rgb[there] = rng.integers(0, 256, (600, 3))
    found = descriptors(rgb, np.stack([here, there]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_masks_do_not_depend_on_each_other(rng):
    rgb, masks = textured(rng), shapes()
    together = descriptors(rgb, masks)
    for row, mask in enumerate(masks):
        np.testing.assert_array_equal(descriptors(rgb, mask[None])[0], together[row])


def test_hues_are_weighed_by_saturation_and_split_between_two_bins():
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[:, :3] = (200, 0, 0)  # hue 0
    rgb[:, 3:] = (200, 50, 0)  # hue 1 / 24: half way to the next bin
    left, right, grey = np.zeros((3, 4, 6), bool)
    left[:, :3] = right[:, 3:] = True
    found = descriptors(rgb, np.stack([left, right]))[:, :12]
    np.testing.assert_allclose(found[0], 1.6 * np.eye(12)[0], atol=1e-6)
    np.testing.assert_allclose(found[1, :2], 1.6 * np.sqrt([0.5, 0.5]), atol=1e-6)
    grey[:] = True
    assert not descriptors(np.full((4, 6, 3), 77, np.uint8), grey[None])[0, :12].any()


def test_hue_saturation_and_value_equal_pillows(rng):
    rgb = rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)
    rgb[0, :3] = [(0, 0, 0), (255, 255, 255), (9, 9, 9)]
    hue, saturation, value = handmade._hsv(rgb.astype(np.float32) / 255)
    wanted = np.asarray(Image.fromarray(rgb).convert("HSV")).astype(float)
    off = np.abs(hue * 255 - wanted[..., 0])
    assert np.minimum(off, 255 - off).max() < 2
    np.testing.assert_allclose(saturation * 255, wanted[..., 1], atol=1.01)
    np.testing.assert_allclose(value * 255, wanted[..., 2], atol=0.01)


def test_tones_are_means_and_deviations_inside_the_mask(rng):
    rgb, mask = textured(rng), shapes()[1]
    hsv = np.asarray(Image.fromarray(rgb).convert("HSV"))[mask] / 255
    wanted = [hsv[:, 1].mean(), hsv[:, 1].std(), 0.3 * hsv[:, 2].mean(), hsv[:, 2].std()]
    np.testing.assert_allclose(descriptors(rgb, mask[None])[0, 12:16], wanted, atol=5e-3)


def test_a_coarser_texture_has_its_energy_in_coarser_bands():
    rng = np.random.default_rng(3)
    mask = np.ones((1, 64, 96), bool)
    strongest = []
    for deviation in (0, 2, 5):
        grey = rng.standard_normal((64, 96))
        grey = ndimage.gaussian_filter(grey, deviation) if deviation else grey
        grey = np.clip(128 + 50 * grey / grey.std(), 0, 255).astype(np.uint8)
        bands = descriptors(np.repeat(grey[..., None], 3, axis=2), mask)[0, 16:28]
        assert not bands[4:].any()  # grey has no bands of colour
        assert (bands**2).sum() == pytest.approx(1, rel=1e-5)
        strongest.append(int(bands[:4].argmax()))
    assert strongest[0] == 0
    assert strongest == sorted(strongest)
    assert strongest[2] > strongest[1]


def test_harmonics_of_directions_are_those_of_a_sum_by_hand(rng):
    down, right = rng.standard_normal((2, 40))
    down[3] = right[3] = 0
    strength, angle = np.hypot(down, right), np.arctan2(down, right)
    wanted = [
        np.hypot((strength * np.cos(n * angle)).sum(), (strength * np.sin(n * angle)).sum())
        / strength.sum()
        for n in range(1, 7)
    ]
    np.testing.assert_allclose(handmade._turns(down, right), wanted, rtol=1e-6)
    assert not handmade._turns(np.zeros(5), np.zeros(5)).any()


def test_stripes_prevail_in_even_harmonics_and_a_ramp_in_all():
    columns = np.arange(80)
    stripes = np.tile(128 + 90 * np.sin(columns / 2), (50, 1)).astype(np.uint8)
    ramp = np.tile(40 + 2 * columns, (50, 1)).astype(np.uint8)
    mask = np.zeros((1, 50, 80), bool)
    mask[:, 5:45, 8:72] = True
    of_stripes, of_ramp = (
        descriptors(np.repeat(grey[..., None], 3, axis=2), mask)[0, 28:34]
        for grey in (stripes, ramp)
    )
    np.testing.assert_allclose(of_ramp, 1, atol=1e-3)
    np.testing.assert_allclose(of_stripes[1::2], 1, atol=1e-2)
    assert of_stripes[::2].max() < 0.2


def test_outlines_tell_shapes_apart():
    rows, cols = np.mgrid[:81, :101]
    disc = np.hypot(rows - 40, cols - 50) < 30
    square = (abs(rows - 40) <= 26) & (abs(cols - 50) <= 26)
    ring = disc & (np.hypot(rows - 40, cols - 50) > 18)
    bar = (abs(rows - 40) <= 8) & (abs(cols - 50) <= 45)
    of = {
        name: handmade._outline(mask)
        for name, mask in locals().items()
        if name in ("disc", "square", "ring", "bar")
    }
    assert all(len(found) == 9 for found in of.values())
    assert of["disc"][:6].max() < 0.03  # the same radius everywhere
    assert of["square"][:6].argmax() == 3  # four corners
    assert of["bar"][:6].argmax() == 1  # two ends
    assert of["disc"][6] == pytest.approx(0, abs=0.05)
    assert [round(of[name][7], 2) for name in of] == [0.3, 0.3, 0, 0.3]  # is the middle filled?
    assert of["ring"][8] == pytest.approx(1 - 18**2 / 30**2, abs=0.02)
    assert of["disc"][8] == 1


@pytest.mark.parametrize("place", [(0, 0), (60, 82), (30, 0)])
def test_a_mask_of_one_pixel_has_a_finite_descriptor(rng, place):
    mask = np.zeros((1, 61, 83), bool)
    mask[(0, *place)] = True
    found = descriptors(textured(rng), mask)
    assert np.isfinite(found).all()
    assert found.any()


def test_what_is_no_picture_or_no_mask_of_it_is_refused(rng):
    rgb, masks = textured(rng), shapes()
    for picture in (rgb[..., :2], rgb[..., 0], rgb / 255):
        with pytest.raises(ValueError, match=r"rgb: wanted \(H, W, 3\) uint8, found"):
            descriptors(picture, masks)
    for wrong in (masks[:, :17, :20], masks.astype(np.uint8)):
        with pytest.raises(ValueError, match=r"masks: wanted \(61, 83\) bool each, found"):
            descriptors(rgb, wrong, max_side=40)
