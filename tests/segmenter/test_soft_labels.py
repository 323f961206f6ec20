import numpy as np
import pytest

from maskdistill.segmenter import soft_labels
from tests.reference import soft_labels as reference


@pytest.mark.parametrize(
    "size, scaled, patch",
    [((7, 11), (14, 22), 4), ((3, 5), (48, 80), 16), ((13, 9), (10, 7), 4), ((8, 12), (8, 12), 4)],
)
def test_the_shares_equal_the_common_areas_of_pixels_and_patches(rng, size, scaled, patch):
    label_map = rng.integers(0, 4, size).astype(np.uint8)
    label_map[rng.random(size) < 0.3] = 255
    found = soft_labels.shares(label_map, scaled, n_classes=5, patch=patch)
    wanted = reference.shares(label_map, scaled, 5, patch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_patch_in_the_picture_without_ignored_pixels_is_whole(rng):
    found = soft_labels.shares(
        rng.integers(0, 3, (20, 33)).astype(np.uint8), (64, 105), n_classes=3
    )
    np.testing.assert_allclose(found[:, :-1].sum(axis=2), 1, atol=1e-5)
    # The last column of patches holds 9 of its 16 px.
    np.testing.assert_allclose(found[:, -1].sum(axis=2 - 1), 9 / 16, atol=1e-5)


def test_ignored_pixels_have_no_class():
    label_map = np.full((32, 32), 255, np.uint8)
    label_map[:16, :16] = 2
    label_map[:8, 16:] = 1
    found = soft_labels.shares(label_map, (32, 32), n_classes=3)
    np.testing.assert_allclose(found[0], [[0, 0, 1], [0, 0.5, 0]], atol=1e-6)
    assert not found[1].any()


def test_turning_the_map_turns_the_shares(rng):
    label_map = rng.integers(0, 3, (21, 30)).astype(np.uint8)
    found = soft_labels.shares(label_map, (32, 48), n_classes=3)
    turned = soft_labels.shares(label_map[:, ::-1], (32, 48), n_classes=3)
    np.testing.assert_allclose(turned, found[:, ::-1], atol=1e-5)


def test_a_class_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"wanted 0\.\.2 or 255, found 3"):
        soft_labels.shares(np.array([[0, 3]], np.uint8), (16, 32), n_classes=3)
