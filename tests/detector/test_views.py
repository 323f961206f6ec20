import numpy as np
import pytest
import torch

from maskdistill import detector


def test_a_view_holds_the_channels_of_all_blocks_at_their_places(rng):
    patches = rng.standard_normal((2, 3, 5, 4)).astype(np.float16)
    view = detector.view(patches, (48, 70))
    assert view.tokens.shape == (8, 3, 5)
    assert view.tokens.dtype == torch.float16
    assert view.grid == (3, 5)
    for block, row, col, channel in np.ndindex(patches.shape):
        assert view.tokens[4 * block + channel, row, col] == patches[block, row, col, channel]


@pytest.mark.parametrize("patch, frame", [(16, (24, 35)), (14, (28, 40)), (8, (48, 70))])
def test_a_token_is_eight_px_of_the_frame_whatever_the_patch(patch, frame):
    grid = -(-48 // patch), -(-70 // patch)
    assert detector.view(np.zeros((1, *grid, 2)), (48, 70), patch=patch).frame == frame


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (2, 3, 4, 3), (3, 5, 3)])
def test_tokens_of_another_grid_are_refused(shape):
    with pytest.raises(ValueError, match="patches: wanted"):
        detector.view(np.zeros(shape), (48, 70))


def test_masks_lie_in_the_frame_where_they_lie_in_the_picture():
    view = detector.view(np.zeros((1, 4, 6, 2)), (64, 96))  # a frame of 32 x 48
    masks = np.zeros((2, 64, 96), bool)
    masks[0, 16:32, 8:24] = True
    found = detector.targets_of(view, masks, np.array([4, 5]))
    np.testing.assert_array_equal(found["boxes"], [[4, 8, 12, 16]])
    assert found["labels"].tolist() == [5]  # the empty mask is left out
    assert found["masks"].shape == (1, 32, 48)
    turned = detector.targets_of(view, masks, np.array([4, 5]), mirrored=True)
    np.testing.assert_array_equal(turned["boxes"], [[48 - 12, 8, 48 - 4, 16]])
    np.testing.assert_array_equal(turned["masks"], found["masks"].flip(2))


def test_a_mask_too_thin_for_the_frame_stays():
    view = detector.view(np.zeros((1, 2, 3, 2)), (32, 48))
    masks = np.zeros((1, 320, 480), bool)
    masks[0, 100, 50:400] = True
    (box,) = detector.targets_of(view, masks, np.array([0]))["boxes"]
    assert box[3] - box[1] == 1
    assert box[2] - box[0] > 15


def test_a_picture_without_masks_has_an_empty_target():
    view = detector.view(np.zeros((1, 2, 3, 2)), (32, 48))
    found = detector.targets_of(view, np.zeros((0, 9, 9), bool), np.zeros(0, np.int64))
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 16, 24)
