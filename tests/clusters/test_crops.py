"""Crops of masks and what is read of them; the backbone is one that says what it was shown."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from maskdistill.clusters import crops

PATCH = 4


class Backbone:
    """Token 0: (height, width, mean of the red); each patch: (row, column, its mean of the red)."""

    width, patch = 3, PATCH

    def __init__(self):
        self.seen, self.packs = [], []

    def tokens_of(self, pictures, *, pack, class_alone):
        self.packs.append(pack)
        self.class_alone = class_alone
        self.seen += [each.permute(1, 2, 0).numpy() for each in pictures]
        return [self.tokens(each)[: 1 if class_alone else None] for each in pictures]

    def tokens(self, picture):
        red = functional.avg_pool2d(picture[:1], PATCH)[0]
        rows, columns = torch.meshgrid(
            *(torch.arange(side).float() for side in red.shape), indexing="ij"
        )
        patches = torch.stack([rows, columns, red], dim=2).flatten(0, 1)
        return torch.cat([torch.tensor([[*picture.shape[1:], picture[0].mean()]]), patches])


def prepare(pixels):
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float()
    return functional.pad(tensor, (0, -pixels.shape[1] % PATCH, 0, -pixels.shape[0] % PATCH))


def shown(rgb, boxes, masks=None, *, read="class_token", pack=0, **kwargs):
    """Vectors, and what the backbone saw."""
    backbone = Backbone()
    views = crops.crops(rgb, np.array(boxes, np.float32).reshape(-1, 4), masks, **kwargs)
    return crops.embed(
        views, backbone=backbone, prepare=prepare, read=read, pack=pack
    ), backbone.seen


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (61, 83, 3)).astype(np.uint8)


def test_the_class_token_is_that_of_the_box(rgb):
    found, seen = shown(rgb, [[10, 20, 50, 36], [0, 0, 80, 60]])
    np.testing.assert_array_equal(seen[0], rgb[20:36, 10:50])
    np.testing.assert_array_equal(seen[1], rgb[:60, :80])
    np.testing.assert_allclose(found[0], [16, 40, rgb[20:36, 10:50, 0].mean()], rtol=1e-5)
    assert found.shape == (2, 3)
    assert found.dtype == np.float32


def test_a_box_between_pixels_holds_all_that_it_touches_and_one_without_size_a_pixel(rgb):
    boxes = [
        [10.7, 20.2, 12.1, 22.9],
        [-5.5, -3, 4, 2.5],
        [79, 58, 99, 70],
        [30, 40, 30, 40],
        [83, 61, 83, 61],
    ]
    views = crops.crops(rgb, np.array(boxes))
    wanted = [rgb[20:23, 10:13], rgb[:3, :4], rgb[58:, 79:], rgb[40:41, 30:31], rgb[60:, 82:]]
    for (view,), own in zip(views, wanted, strict=True):
        np.testing.assert_array_equal(view.pixels, own)
    assert shown(rgb, boxes)[0][3, 2] == pytest.approx(rgb[40, 30, 0] / 16)  # padded to the patch


def test_a_crop_is_resized_to_the_longest_side_allowed_and_a_smaller_one_left_alone(rgb):
    boxes = [[0, 0, 80, 40], [3, 1, 23, 61], [5, 5, 17, 14], [0, 0, 83, 1]]
    views = [view for (view,) in crops.crops(rgb, np.array(boxes), max_side=20)]
    assert [view.pixels.shape[:2] for view in views] == [(10, 20), (20, 7), (9, 12), (1, 20)]
    assert [view.inside.shape for view in views] == [(10, 20), (20, 7), (9, 12), (1, 20)]
    np.testing.assert_array_equal(views[2].pixels, rgb[5:14, 5:17])
    half = np.asarray(Image.fromarray(rgb[:40, :80]).resize((20, 10), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(views[0].pixels, half)


def disc(size=(61, 83)):
    rows, cols = np.mgrid[: size[0], : size[1]]
    return (np.hypot(rows - 30, cols - 40) < 10)[None]


def test_the_background_is_filled_or_blurred_and_the_mask_left_as_it_was(rgb):
    mask, box = disc(), [[31, 21, 50, 40]]
    own, inside = rgb[21:40, 31:50], mask[0, 21:40, 31:50]
    filled = crops.crops(rgb, np.array(box), mask, background="fill", colour=(0.5, 0, 1))[0][
        0
    ].pixels
    blurred = crops.crops(rgb, np.array(box), mask, background="blur", blur=0.2)[0][0].pixels
    for found in (filled, blurred):
        np.testing.assert_array_equal(found[inside], own[inside])
    assert (filled[~inside] == [128, 0, 255]).all()
    assert 0 < blurred[~inside].astype(float).std() < 0.3 * own[~inside].astype(float).std()
    np.testing.assert_array_equal(
        crops.crops(rgb, np.array(box), mask, background="blur", blur=0)[0][0].pixels, own
    )
    with pytest.raises(ValueError, match="keep, blur or fill, got 'cut'"):
        crops.crops(rgb, np.array(box), mask, background="cut")


def test_the_mean_of_patches_is_weighed_by_how_much_of_each_the_mask_holds(rgb):
    mask = np.zeros((1, 61, 83), bool)
    mask[0, 20:24, 40:44] = True  # one whole patch of the crop, at its row 0, column 1
    mask[0, 24:28, 36:37] = True  # a quarter of another, at row 1, column 0
    found, _ = shown(rgb, [[36, 20, 48, 32]], mask, read="patch_mean")
    wanted = (
        np.array([0, 1, rgb[20:24, 40:44, 0].mean()])
        + 0.25 * np.array([1, 0, rgb[24:28, 36:40, 0].mean()])
    ) / 1.25
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)


def test_a_mask_that_is_empty_in_its_box_has_the_mean_of_all_patches(rgb):
    found, _ = shown(rgb, [[36, 20, 48, 32]], np.zeros((1, 61, 83), bool), read="patch_mean")
    np.testing.assert_allclose(found[0], [1, 1, rgb[20:32, 36:48, 0].mean()], rtol=1e-5)
    with pytest.raises(ValueError, match="class_token or patch_mean, got 'keys'"):
        shown(rgb, [[36, 20, 48, 32]], read="keys")


def test_scales_and_mirrored_views_are_averaged(rgb):
    box = [[8, 4, 48, 28]]
    found, seen = shown(rgb, box, scales=(1.0, 0.5, 2.0), flips=True)
    assert [each.shape[:2] for each in seen] == [(24, 40), (12, 20), (48, 80)] * 2
    for plain, mirrored in zip(seen[:3], seen[3:], strict=True):
        np.testing.assert_array_equal(plain[:, ::-1], mirrored)
    np.testing.assert_allclose(found[0, :2], [28, 140 / 3], rtol=1e-6)
    capped, seen = shown(rgb, box, scales=(1.0, 2.0), max_side=40)
    assert [each.shape[:2] for each in seen] == [(24, 40), (24, 40)]
    np.testing.assert_allclose(capped, shown(rgb, box)[0])


def test_a_small_box_is_enlarged_in_proportion_before_its_scales_and_a_large_one_is_left_as_it_is(
    rgb,
):
    boxes, masks = (
        [[8, 4, 48, 28], [0, 0, 83, 61], [5, 5, 5, 5], [20, 10, 24, 50]],
        np.ones((4, 61, 83), bool),
    )
    one, whole, pixel, thin = crops.crops(rgb, np.array(boxes), masks, min_side=80)
    assert [each[0].pixels.shape[:2] for each in (one, whole, pixel, thin)] == [
        (48, 80),
        (61, 83),
        (80, 80),
        (80, 8),
    ]
    np.testing.assert_array_equal(whole[0].pixels, rgb)
    assert np.unique(pixel[0].pixels.reshape(-1, 3), axis=0).tolist() == [rgb[5, 5].tolist()]
    views = crops.crops(
        rgb, np.array(boxes[:1]), masks[:1], min_side=80, scales=(1.0, 0.5, 2.0), max_side=100
    )
    assert [view.pixels.shape[:2] for view in views[0]] == [(48, 80), (24, 40), (60, 100)]
    for view in views[0]:
        np.testing.assert_allclose(
            view.pixels.mean(axis=(0, 1)), rgb[4:28, 8:48].mean(axis=(0, 1)), atol=3
        )
    capped = crops.crops(rgb, np.array(boxes[:1]), min_side=80, max_side=60)
    assert capped[0][0].pixels.shape[:2] == (36, 60)


def test_the_mask_is_enlarged_with_its_box(rgb):
    mask = np.zeros((1, 61, 83), bool)
    mask[0, 4:16, 8:28] = True  # the upper left quarter of the box
    [[view]] = crops.crops(rgb, np.array([[8, 4, 48, 28]]), mask, min_side=80)
    assert view.inside.shape == view.pixels.shape[:2] == (48, 80)
    assert (view.inside[:23, :39] == 1).all()
    assert (view.inside[25:] == 0).all()
    assert (view.inside[:, 41:] == 0).all()


def test_a_mirrored_picture_has_the_same_vector_where_views_are_mirrored(rgb):
    mask = disc()
    kwargs = {"read": "patch_mean", "flips": True}
    here, _ = shown(rgb, [[28, 20, 52, 40]], mask, **kwargs)
    there, _ = shown(rgb[:, ::-1].copy(), [[83 - 52, 20, 83 - 28, 40]], mask[:, :, ::-1], **kwargs)
    np.testing.assert_allclose(here, there, rtol=1e-5)


def test_masks_of_several_pictures_go_through_the_backbone_in_one_call_and_no_masks_in_none(rgb):
    backbone = Backbone()
    one, two = (
        crops.crops(rgb, np.array([[0, 0, 8, 8]])),
        crops.crops(rgb, np.array([[8, 8, 20, 16], [0, 0, 4, 4]])),
    )
    together = crops.embed([*one, *two], backbone=backbone, prepare=prepare, pack=99)
    assert backbone.packs == [99]
    for row, views in enumerate([*one, *two]):
        np.testing.assert_array_equal(
            together[row], crops.embed([views], backbone=backbone, prepare=prepare)[0]
        )
    backbone.packs.clear()
    nothing = crops.embed([], backbone=backbone, prepare=prepare)
    assert (nothing.shape, nothing.dtype, backbone.packs) == ((0, 3), np.float32, [])


def test_what_is_no_picture_or_no_mask_of_it_is_refused(rgb):
    boxes = np.array([[0, 0, 9, 9], [3, 3, 20, 30]], np.float32)
    masks = np.ones((2, 61, 83), bool)
    with pytest.raises(ValueError, match=r"rgb: wanted \(H, W, 3\) uint8, found"):
        crops.crops(rgb / 255, boxes)
    with pytest.raises(ValueError, match="wanted one for each box, found fewer"):
        crops.crops(rgb, boxes, masks[:1])
    for wrong in (masks[:, :17, :20], masks.astype(np.uint8)):
        with pytest.raises(ValueError, match=r"masks: wanted \(61, 83\) bool each, found"):
            crops.crops(rgb, boxes, wrong)
