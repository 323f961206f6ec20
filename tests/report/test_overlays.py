import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.report import colours, overlays
from tests.reference import overlays as plain

RGB = np.full((3, 5, 3), 100, np.uint8)


def test_the_palette_is_black_then_254_colours_all_different():
    table = colours.palette(254)
    assert table.shape == (255, 3)
    assert table.dtype == np.uint8
    assert table[0].tolist() == [0, 0, 0]
    assert len({tuple(row) for row in table.tolist()}) == 255


@given(st.integers(0, 254))
def test_a_longer_palette_starts_with_the_shorter_one(n):
    np.testing.assert_array_equal(colours.palette(n), colours.palette(254)[: n + 1])


def test_twenty_clusters_are_well_apart_for_three_kinds_of_colour_vision():
    seen = colours._seen(colours.palette(20)[1:])
    for vision in seen:
        away = np.linalg.norm(vision[:, None] - vision[None], axis=2) + 1000 * np.eye(20)
        assert away.min() > 10  # a just noticeable difference is about 2.3


def test_black_and_white_look_the_same_to_all_and_have_lightness_0_and_100():
    lab = colours._seen(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    np.testing.assert_allclose(lab, np.broadcast_to([[0, 0, 0], [100, 0, 0]], (3, 2, 3)), atol=0.05)


def test_a_palette_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"n must be in 0 \.\. 254, got 255"):
        colours.palette(255)


def test_the_bytes_of_a_png_palette_hold_black_first_and_grey_last():
    table = colours.palette_bytes()
    assert len(table) == 768
    assert table[:3] == b"\0\0\0"
    assert table[-3:] == colours.IGNORE_COLOUR.tobytes()


@pytest.mark.parametrize("alpha", [0.0, 0.45, 1.0])
@pytest.mark.parametrize("with_scores", [True, False])
def test_painting_masks_equals_painting_pixel_by_pixel(rng, alpha, with_scores):
    rgb = rng.integers(0, 256, (7, 11, 3)).astype(np.uint8)
    masks = rng.random((4, 7, 11)) < 0.6
    clusters = rng.integers(0, 20, 4)
    scores = rng.permutation([0.1, 0.5, 0.7, 1.0]) if with_scores else None
    painted = overlays.overlay_masks(rgb, masks, clusters, scores, alpha=alpha)
    np.testing.assert_allclose(
        painted.astype(int), plain.overlay_masks(rgb, masks, clusters, scores, alpha), atol=1
    )


def test_a_picture_without_masks_comes_back_as_a_copy():
    painted = overlays.overlay_masks(RGB, np.zeros((0, 3, 5), bool))
    np.testing.assert_array_equal(painted, RGB)
    assert painted is not RGB


def test_masks_of_the_picture_are_painted_on_its_thumbnail():
    masks = np.zeros((1, 30, 50), bool)
    masks[0, 10:20, 20:50] = True  # row 1, columns 2 to 4 of the thumbnail
    painted = overlays.overlay_masks(RGB, masks, np.array([3]), alpha=1)
    changed = (painted != RGB).any(axis=2)
    expected = np.zeros((3, 5), bool)
    expected[1, 2:] = True
    np.testing.assert_array_equal(changed, expected)


def test_more_masks_than_colours_start_the_colours_again():
    masks = np.ones((256, 3, 5), bool)
    assert overlays.overlay_masks(RGB, masks).shape == (3, 5, 3)


def test_the_best_score_is_painted_on_top():
    masks = np.ones((2, 3, 5), bool)
    painted = overlays.overlay_masks(RGB, masks, np.array([0, 1]), np.array([1.0, 0.2]), alpha=1)
    assert (painted == colours.palette(2)[1]).all()


def test_background_of_a_label_map_is_left_alone_and_each_label_gets_its_colour():
    label_map = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 2, 255], [0, 0, 0, 0, 0]], np.uint8)
    painted = overlays.overlay_label_map(RGB, label_map, alpha=1)
    table = np.vstack([colours.palette(254), colours.IGNORE_COLOUR])
    np.testing.assert_array_equal(
        painted, np.where((label_map > 0)[..., None], table[label_map], RGB)
    )


def test_a_larger_label_map_is_shrunk_without_new_labels():
    label_map = np.repeat(
        np.repeat(np.array([[0, 7, 7, 0, 9]] * 3, np.uint8), 4, axis=0), 4, axis=1
    )
    painted = overlays.overlay_label_map(RGB, label_map, alpha=1)
    assert {tuple(row) for row in painted.reshape(-1, 3).tolist()} == {
        (100, 100, 100),
        *(tuple(colours.palette(9)[place].tolist()) for place in (7, 9)),
    }


@pytest.mark.parametrize(
    "size, side, expected",
    [((30, 50), 10, (6, 10)), ((3, 5), 10, (3, 5)), ((1, 1), 4, (1, 1)), ((1, 4000), 40, (1, 40))],
)
def test_a_thumbnail_shrinks_to_its_longer_side_and_never_enlarges(size, side, expected):
    assert overlays.thumbnail(np.zeros((*size, 3), np.uint8), side).shape == (*expected, 3)


@given(
    st.integers(1, 12),
    st.integers(1, 15),
    st.integers(0, 11),
    st.integers(0, 14),
    st.integers(1, 12),
    st.integers(1, 15),
    st.integers(1, 9),
)
def test_an_exemplar_is_a_square_wherever_its_box_lies(
    height, width, row, col, box_height, box_width, side
):
    rgb, mask = np.full((height, width, 3), 200, np.uint8), np.zeros((height, width), bool)
    mask[row : row + box_height, col : col + box_width] = True
    crop = overlays.crop_exemplar(
        rgb, mask, np.array([col, row, col + box_width, row + box_height], np.float32), side
    )
    assert crop.shape == (side, side, 3)


def test_an_exemplar_keeps_its_object_and_dims_the_rest():
    rgb, mask = np.full((40, 60, 3), 200, np.uint8), np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    crop = overlays.crop_exemplar(rgb, mask, np.array([20, 10, 40, 30]), 22)
    assert crop[11, 11].tolist() == [200, 200, 200]
    assert (crop[0] == round(200 * overlays.DIMMED)).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: overlays.overlay_masks(RGB[..., 0], np.zeros((1, 3, 5), bool)), "rgb"),
        (lambda: overlays.overlay_masks(RGB, np.zeros((3, 5), bool)), "masks"),
        (
            lambda: overlays.overlay_masks(RGB, np.zeros((2, 3, 5), bool), np.array([1])),
            "clusters: wanted 2",
        ),
        (lambda: overlays.overlay_masks(RGB, np.zeros((2, 3, 5), bool), alpha=2), "alpha"),
        (lambda: overlays.overlay_label_map(RGB, np.zeros((3, 5), np.int64)), "label_map"),
        (lambda: overlays.thumbnail(RGB, 0), "side"),
        (lambda: overlays.crop_exemplar(RGB, np.zeros((5, 3), bool), np.zeros(4), 8), "mask"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
