import itertools
import time

import numpy as np
import pytest
from scipy import ndimage

from maskdistill.masks import polygons, rle
from maskdistill.masks.polygons import polygons_from_mask


def drawn(polygons, size):
    """Draw the union of polygons, half a pixel added: their lines lie between pixel centres."""
    return rle.decode(
        [rle.from_polygons([[edge + 0.5 for edge in polygon] for polygon in polygons], size)]
    )[0]


def blob(rng, size):
    return ndimage.gaussian_filter(rng.standard_normal(size), 5) > 0.02


def test_a_single_pixel_is_a_diamond_around_its_centre():
    mask = np.zeros((3, 5), bool)
    mask[1, 3] = True
    (found,) = polygons_from_mask(mask, tolerance_px=0)
    points = [(found[2 * number], found[2 * number + 1]) for number in range(len(found) // 2)]
    assert points[0] == points[-1]
    assert set(points) == {(3, 0.5), (3.5, 1), (3, 1.5), (2.5, 1)}


def test_an_empty_mask_has_no_polygon():
    assert polygons_from_mask(np.zeros((3, 5), bool)) == []


def test_a_mask_smaller_than_the_tolerance_has_no_polygon():
    mask = np.zeros((9, 11), bool)
    mask[4, 4] = True
    assert polygons_from_mask(mask, tolerance_px=2) == []


def test_pixels_that_meet_at_a_corner_are_two_polygons():
    mask = np.zeros((4, 5), bool)
    mask[1, 1] = mask[2, 2] = True
    assert len(polygons_from_mask(mask, tolerance_px=0)) == 2
    assert len(polygons_from_mask(mask[:, ::-1], tolerance_px=0)) == 2


def test_a_hole_is_a_polygon_of_its_own():
    mask = np.ones((9, 12), bool)
    mask[3:6, 4:8] = False
    outer, hole = sorted(polygons_from_mask(mask, tolerance_px=0), key=len, reverse=True)
    assert min(outer) == 0
    assert max(hole[::2]) == 7.5


def test_coordinates_stay_inside_the_picture():
    full = polygons_from_mask(np.ones((7, 11), bool), tolerance_px=0)[0]
    assert min(full) == 0
    assert max(full[::2]) == 10.5
    assert max(full[1::2]) == 6.5


def test_without_tolerance_the_mask_comes_back(rng):
    mask = blob(rng, (37, 53))
    filled = ndimage.binary_fill_holes(mask)
    found = drawn(polygons_from_mask(filled, tolerance_px=0), mask.shape)
    # A diagonal line halves the pixels that it crosses at a corner: only those on the edge may
    # change.
    assert not (found & ~ndimage.binary_dilation(filled)).any()
    assert not (~found & ndimage.binary_erosion(filled)).any()


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0, 4.0])
def test_no_outline_moves_by_more_than_the_tolerance(rng, tolerance):
    mask = blob(rng, (37, 53))
    exact, thinned = (
        polygons_from_mask(mask, tolerance_px=0),
        polygons_from_mask(mask, tolerance_px=tolerance),
    )
    ends = [np.reshape(polygon, (-1, 2)) for polygon in thinned]
    for polygon in exact:
        points = np.reshape(polygon, (-1, 2))
        own = [
            line
            for line in ends
            if {tuple(point) for point in line} <= {tuple(point) for point in points}
        ]
        if own:  # else it was too small to be kept
            far = min(
                max(min(_distance(point, *piece) for piece in _pieces(line)) for point in points)
                for line in own
            )
            assert far <= tolerance + 1e-9
    assert sum(map(len, thinned)) <= sum(map(len, exact))


def _pieces(line):
    return list(itertools.pairwise(line))


def _distance(point, start, end):
    length = float((end - start) @ (end - start))
    share = min(1.0, max(0.0, float((point - start) @ (end - start)) / length)) if length else 0.0
    return float(np.linalg.norm(point - start - share * (end - start)))


def test_sixteen_times_as_many_outlines_take_about_sixteen_times_as_long():
    def seconds(side):
        mask = np.zeros((2 * side, 2 * side), bool)
        mask[::2, ::2] = True
        start = time.process_time()
        assert len(polygons._outlines(mask)) == side**2
        return time.process_time() - start

    few, many = (min(seconds(side) for _ in range(3)) for side in (60, 240))
    assert many < 45 * few  # 22 times; 93 where each walks over all that were taken out before


@pytest.mark.parametrize("mask", [np.ones((3, 5), np.uint8), np.ones((1, 3, 5), bool)])
def test_another_rank_or_dtype_is_refused(mask):
    with pytest.raises(ValueError, match="mask: wanted"):
        polygons_from_mask(mask)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_a_tolerance_that_is_not_a_length_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance_px"):
        polygons_from_mask(np.ones((3, 5), bool), tolerance_px=tolerance)
