import numpy as np
import pytest
import torch

from maskdistill.detector import targets


def test_boxes_are_half_open_and_labels_leave_0_to_the_background():
    masks = np.zeros((2, 5, 7), bool)
    masks[0, 1:3, 2:6] = True
    masks[1, 4, 0] = True
    found = targets(masks, np.array([3, 0]))
    assert found["boxes"].tolist() == [[2, 1, 6, 3], [0, 4, 1, 5]]
    assert found["labels"].tolist() == [4, 1]
    np.testing.assert_array_equal(found["masks"], masks)
    assert [found[key].dtype for key in ("boxes", "labels", "masks")] == [
        torch.float32,
        torch.int64,
        torch.uint8,
    ]


def test_empty_masks_are_dropped_with_their_clusters():
    masks = np.zeros((3, 4, 6), bool)
    masks[1, 2, 3:5] = True
    found = targets(masks, np.array([5, 6, 7]))
    assert found["labels"].tolist() == [7]
    assert found["boxes"].tolist() == [[3, 2, 5, 3]]
    assert found["masks"].shape == (1, 4, 6)


def test_a_mask_one_pixel_wide_has_a_box_of_width_1():
    masks = np.zeros((3, 4, 6), bool)
    masks[0, :, 2] = True
    masks[1, 3, :] = True
    masks[2, 3, 5] = True  # in the last corner
    boxes = targets(masks, np.arange(3))["boxes"]
    assert (boxes[:, 2:] - boxes[:, :2]).tolist() == [[1, 4], [6, 1], [1, 1]]


@pytest.mark.parametrize("n", [0, 2])
def test_a_picture_may_hold_no_object(n):
    found = targets(np.zeros((n, 4, 6), bool), np.zeros(n, np.int64))
    assert found["boxes"].shape == (0, 4)
    assert found["labels"].shape == (0,)
    assert found["masks"].shape == (0, 4, 6)
    assert [found[key].dtype for key in ("boxes", "labels", "masks")] == [
        torch.float32,
        torch.int64,
        torch.uint8,
    ]


def test_clusters_of_any_integer_kind_become_int64():
    assert targets(np.ones((1, 2, 3), bool), np.array([253], np.uint8))["labels"].tolist() == [254]
    assert targets(np.ones((1, 2, 3), bool), np.array([255], np.uint8))["labels"].tolist() == [
        256
    ]  # no wrapping


def test_unlike_lengths_are_refused():
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        targets(np.ones((2, 4, 6), bool), np.arange(3))
