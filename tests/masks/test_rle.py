import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as judge

from maskdistill.masks import rle
from tests.reference import masks as reference

shapes = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 9))


@given(arrays.arrays(bool, shapes))
def test_masks_to_rle_to_masks_is_identity(masks):
    encoded = rle.encode(masks)
    np.testing.assert_array_equal(rle.decode(encoded), masks)
    assert rle.decode(encoded).dtype == bool


@given(arrays.arrays(bool, shapes))
def test_the_strings_equal_those_of_pycocotools(masks):
    wanted = judge.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    assert [found["counts"] for found in rle.encode(masks)] == [
        each["counts"].decode() for each in wanted
    ]


@given(arrays.arrays(bool, shapes))
def test_areas_and_boxes_equal_counting_pixel_by_pixel(masks):
    encoded = rle.encode(masks)
    np.testing.assert_array_equal(rle.areas(encoded), masks.sum(axis=(1, 2)))
    np.testing.assert_array_equal(rle.boxes(encoded), [reference.box(mask) for mask in masks])


def test_iou_equals_counting_pixel_by_pixel(rng):
    a, b = rng.random((3, 3, 5)) > 0.5, rng.random((2, 3, 5)) > 0.5
    wanted = [[reference.iou(first, second) for second in b] for first in a]
    np.testing.assert_allclose(rle.iou(rle.encode(a), rle.encode(b)), wanted, atol=1e-12)


def test_against_a_crowd_only_the_area_of_the_first_mask_counts():
    a, b = np.zeros((1, 3, 5), bool), np.ones((1, 3, 5), bool)
    a[0, 0, :3] = True
    assert rle.iou(rle.encode(a), rle.encode(b), crowd=np.array([True]))[0, 0] == 1
    assert rle.iou(rle.encode(a), rle.encode(b), crowd=np.array([False]))[0, 0] == pytest.approx(
        3 / 15
    )


def test_masks_of_two_sizes_have_no_iou():
    wide, tall = rle.encode(np.ones((1, 4, 6), bool)), rle.encode(np.ones((1, 6, 4), bool))
    with pytest.raises(ValueError, match=r"wanted masks of one size, found \[\(4, 6\), \(6, 4\)\]"):
        rle.iou(wide, tall)


@pytest.mark.parametrize("n_a, n_b", [(0, 0), (0, 2), (2, 0)])
def test_the_iou_of_no_masks_keeps_its_shape(n_a, n_b):
    masks = rle.encode(np.ones((2, 3, 5), bool))
    assert rle.iou(masks[:n_a], masks[:n_b]).shape == (n_a, n_b)


def test_no_masks_decode_to_an_empty_stack_of_the_size_that_is_given():
    assert rle.encode(np.zeros((0, 3, 5), bool)) == []
    assert rle.decode([], size=(3, 5)).shape == (0, 3, 5)
    assert rle.areas([]).shape == (0,)
    assert rle.boxes([]).shape == (0, 4)
    with pytest.raises(ValueError, match="size"):
        rle.decode([])


def test_masks_of_two_sizes_are_refused():
    both = rle.encode(np.ones((1, 3, 5), bool)) + rle.encode(np.ones((1, 5, 3), bool))
    with pytest.raises(ValueError, match=r"\(3, 5\), \(5, 3\)"):
        rle.decode(both)
    with pytest.raises(ValueError, match="several sizes"):
        rle.decode(both[:1], size=(5, 3))


@pytest.mark.parametrize("masks", [np.ones((3, 5), bool), np.ones((1, 3, 5), np.uint8)])
def test_another_rank_or_dtype_is_refused(masks):
    with pytest.raises(ValueError, match="masks: wanted"):
        rle.encode(masks)


def test_plain_run_lengths_give_the_same_mask(rng):
    mask = rng.random((3, 5)) > 0.5
    assert rle.from_uncompressed(reference.run_lengths(mask), (3, 5)) == rle.encode(mask[None])[0]


@given(arrays.arrays(bool, shapes))
def test_a_union_is_that_of_the_pixels_and_written_as_pycocotools_writes_it(masks):
    together = rle._union([rle._theirs(each) for each in rle.encode(masks)])
    np.testing.assert_array_equal(rle.decode([together])[0], masks.any(0))
    theirs = judge.merge([judge.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks])
    assert together["counts"] == theirs["counts"].decode()


def test_a_polygon_of_two_points_draws_nothing():
    triangle = [1.2, 0.5, 6.7, 2.0, 3.0, 6.9]
    assert rle.areas([rle.from_polygons([[1, 1, 5, 5]], (7, 11))])[0] == 0
    for odd in (float("nan"), float("inf"), 1e9, -1e9):
        with pytest.raises(ValueError, match="finite coordinates within"):
            rle.from_polygons([[1, 1, 5, 5, 1, odd]], (7, 11))
    assert rle.areas([rle.from_polygons([], (7, 11))])[0] == 0
    assert rle.from_polygons([[1, 1, 5, 5], triangle], (7, 11)) == rle.from_polygons(
        [triangle], (7, 11)
    )


TWO_APART = [[1.2, 0.5, 6.7, 2.0, 3.0, 6.9], [8.0, 0.0, 10.0, 0.0, 10.0, 3.0, 8.0, 3.0]]
numbers = st.floats(-2, 40).map(lambda value: round(value, 2))
polygons = st.integers(3, 8).flatmap(lambda n: st.lists(numbers, min_size=2 * n, max_size=2 * n))


@given(st.lists(polygons, min_size=1, max_size=3))
@example(TWO_APART)
def test_polygons_are_drawn_as_pycocotools_draws_them(parts):
    theirs = judge.merge(judge.frPyObjects(parts, 31, 37))
    assert rle.from_polygons(parts, (31, 37)) == {
        "size": [31, 37],
        "counts": theirs["counts"].decode(),
    }
