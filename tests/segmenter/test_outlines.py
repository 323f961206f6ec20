"""Refined label maps: each part for itself, small ones left out, smaller painted over larger."""

import numpy as np

from maskdistill.segmenter import outlines

RGB = np.zeros((32, 48, 3), np.uint8)


def grown(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The box around a mask, a pixel wider on each side."""
    assert rgb is RGB
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.zeros_like(mask)
    box[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2] = True
    return box


def test_each_part_of_a_class_is_refined_for_itself():
    label_map = np.zeros((32, 48), np.uint8)
    label_map[4:8, 4:8] = 3
    label_map[20:26, 30:40] = 3
    expected = np.zeros_like(label_map)
    expected[3:9, 3:9] = 3
    expected[19:27, 29:41] = 3
    before = label_map.copy()
    found = outlines.refined(label_map, RGB, grown)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(label_map, before)
    assert found.dtype == np.uint8


def test_a_smaller_part_stays_visible_on_a_larger_one_whatever_its_class():
    for small, large in ((1, 2), (2, 1)):
        label_map = np.zeros((32, 48), np.uint8)
        label_map[10:20, 10:30] = large
        label_map[10:14, 30:34] = small
        found = outlines.refined(label_map, RGB, grown)
        assert (found[9:15, 29:35] == small).all()
        assert (found[15:21, 9:31] == large).all()


def test_parts_below_the_least_share_are_left_out_and_an_empty_map_stays_empty():
    label_map = np.zeros((32, 48), np.uint8)
    label_map[2, 2:4] = 1  # 2 pixels of 1536: below 1 / 512, which is 3
    label_map[10, 10:13] = 2
    found = outlines.refined(label_map, RGB, grown)
    assert set(np.unique(found)) == {0, 2}
    assert not outlines.refined(np.zeros_like(label_map), RGB, grown).any()


def test_what_a_refined_part_gives_up_is_background():
    label_map = np.full((32, 48), 4, np.uint8)
    half = outlines.refined(label_map, RGB, lambda rgb, mask: mask & (np.arange(48) < 20))
    np.testing.assert_array_equal(half, np.where(np.arange(48) < 20, 4, 0)[None].repeat(32, axis=0))
