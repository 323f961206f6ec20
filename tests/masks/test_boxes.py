import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskdistill.masks import boxes
from tests.reference import masks as reference


@given(arrays.arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 8))))
def test_the_box_of_a_mask_holds_its_pixels_and_no_more(masks):
    found = boxes.boxes_from_masks(masks)
    assert found.shape == (len(masks), 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(
        found, np.reshape([reference.box(mask) for mask in masks], (-1, 4))
    )


def test_the_slices_of_a_mask_cut_out_its_box_and_an_empty_one_has_none():
    mask = np.zeros((6, 9), bool)
    assert boxes.slices(mask) is None
    mask[2:4, 5], mask[3, 7] = True, True
    assert boxes.slices(mask) == (slice(2, 4), slice(5, 8))


def test_a_single_pixel_has_a_box_one_pixel_wide():
    mask = np.zeros((1, 3, 5), bool)
    mask[0, 1, 4] = True
    np.testing.assert_array_equal(boxes.boxes_from_masks(mask), [[4, 1, 5, 2]])


def test_box_iou_equals_that_of_the_boxes_filled_with_pixels(rng):
    corners = np.sort(rng.integers(0, 7, (2, 6, 2, 2)), axis=2)  # (which, n, low and high, x and y)
    a, b = corners.reshape(2, 6, 4)
    wanted = [
        [
            reference.iou(reference.box_mask(first, (7, 7)), reference.box_mask(second, (7, 7)))
            for second in b
        ]
        for first in a
    ]
    np.testing.assert_allclose(boxes.iou(a, b), wanted, atol=1e-12)


def test_boxes_that_only_touch_do_not_overlap():
    assert boxes.iou(np.array([[0, 0, 2, 2]]), np.array([[2, 0, 4, 2]]))[0, 0] == 0


def test_two_empty_boxes_have_iou_0():
    assert boxes.iou(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0


def test_no_boxes_keep_the_shape():
    assert boxes.iou(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)


def test_xywh_holds_width_and_height_and_leaves_its_argument_alone():
    given_boxes = np.array([[1, 2, 4, 8]], np.float32)
    np.testing.assert_array_equal(boxes.xywh(given_boxes), [[1, 2, 3, 6]])
    np.testing.assert_array_equal(given_boxes, [[1, 2, 4, 8]])
    assert boxes.xywh(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_a_box_turned_inside_out_has_no_area():
    np.testing.assert_array_equal(boxes.areas(np.array([[0, 0, 3, 2], [3, 2, 0, 0]])), [6, 0])


# Outside the picture, on pixel edges, on centres.
EDGES = st.integers(-6, 30).map(lambda number: number / 4)


@given(st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=4))
def test_the_pixels_of_a_box_are_those_whose_centres_lie_in_it(drawn):
    found = boxes.masks_from_boxes(np.array(drawn, np.float32), (3, 5))
    assert found.shape == (len(drawn), 3, 5)
    assert found.dtype == bool
    for mask, box in zip(found, drawn, strict=True):
        np.testing.assert_array_equal(mask, reference.box_pixels(box, (3, 5)))


@given(arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 8))))
def test_the_rectangle_of_a_masks_box_holds_the_mask_and_has_the_same_box(masks):
    tight = boxes.boxes_from_masks(masks)
    filled = boxes.masks_from_boxes(tight, masks.shape[1:])
    assert (filled >= masks).all()
    np.testing.assert_array_equal(boxes.boxes_from_masks(filled), tight)


def test_an_edge_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        boxes.masks_from_boxes(np.array([[0, 0, np.nan, 2]]), (3, 5))
