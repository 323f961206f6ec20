import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.labels import ignoring, paint, select
from tests.reference import painting as reference

OVERLAPS = ["skip", "below", "legacy"]


def squares(*corners, size=(6, 9), side=3):
    masks = np.zeros((len(corners), *size), bool)
    for mask, (row, col) in zip(masks, corners, strict=True):
        mask[row : row + side, col : col + side] = True
    return masks


@given(st.lists(st.floats(0, 1), max_size=6), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.booleans())
def test_the_selection_equals_the_rule_read_aloud(scores, min_score, keep_best):
    found = select(np.array(scores), min_score=min_score, keep_best=keep_best)
    assert found.tolist() == reference.chosen(scores, min_score, keep_best)


def test_a_picture_without_detections_above_the_threshold_keeps_its_best_one():
    assert select(np.array([0.8, 0.7])).tolist() == [0]
    assert select(np.array([0.8, 0.7]), keep_best=False).tolist() == []


def test_a_score_equal_to_the_threshold_passes():
    assert select(np.array([0.95, 0.9, 0.89]), min_score=0.9).tolist() == [0, 1]


def test_the_selection_ends_at_the_first_score_below_even_if_later_ones_pass():
    assert select(np.array([0.95, 0.5, 0.95])).tolist() == [0]


def test_a_score_of_nan_is_not_confident():
    assert select(np.array([0.95, np.nan, 0.95])).tolist() == [0]
    assert select(np.array([np.nan, 0.2]), keep_best=False).tolist() == []
    assert select(np.array([0.8, 0.7]), min_score=np.nan, keep_best=False).tolist() == []


def test_without_detections_nothing_is_selected():
    found = select(np.zeros(0))
    assert found.tolist() == []
    assert np.zeros(0)[found].shape == (0,)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("density", [0.1, 0.4])
def test_the_painted_map_equals_painting_pixel_by_pixel(rng, overlap, density):
    for _ in range(20):
        size = (int(rng.integers(1, 6)), int(rng.integers(1, 8)))
        masks, clusters = rng.random((4, *size)) < density, rng.integers(0, 254, 4)
        found = paint(masks, clusters, np.linspace(1, 0.9, 4), size, overlap=overlap)
        np.testing.assert_array_equal(found, reference.paint(masks, clusters, size, overlap))
        assert found.dtype == np.uint8


def test_skip_leaves_out_a_mask_that_overlaps_an_earlier_one():
    found = paint(
        squares((0, 0), (2, 2), (3, 6)), np.array([4, 5, 6]), np.ones(3), (6, 9), overlap="skip"
    )
    assert set(found.ravel().tolist()) == {0, 5, 7}


def test_below_paints_only_free_pixels():
    found = paint(squares((0, 0), (2, 2)), np.array([4, 5]), np.ones(2), (6, 9), overlap="below")
    assert (found == 5).sum() == 9
    assert (found == 6).sum() == 8


def test_legacy_paints_over_unless_an_earlier_mask_touches_the_two_top_rows():
    low = paint(squares((2, 0), (3, 2)), np.array([4, 5]), np.ones(2), (6, 9), overlap="legacy")
    assert (low == 5).sum() == 7  # two of its pixels were painted over
    high = paint(squares((0, 0), (3, 6)), np.array([4, 5]), np.ones(2), (6, 9), overlap="legacy")
    assert (high == 6).sum() == 0


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_without_masks_all_is_background(overlap):
    found = paint(np.zeros((0, 3, 5), bool), np.zeros(0, int), np.zeros(0), (3, 5), overlap=overlap)
    np.testing.assert_array_equal(found, np.zeros((3, 5), np.uint8))


def test_renaming_clusters_renames_the_map(rng):
    masks, clusters = rng.random((3, 4, 6)) < 0.2, np.array([0, 1, 2])
    first = paint(masks, clusters, np.ones(3), (4, 6), overlap="below")
    second = paint(masks, clusters[::-1], np.ones(3), (4, 6), overlap="below")
    np.testing.assert_array_equal(np.array([0, 3, 2, 1])[first], second)


def test_the_last_cluster_stays_apart_from_the_ignored_value():
    masks = np.ones((1, 3, 5), bool)
    assert paint(masks, np.array([253]), np.ones(1), (3, 5)).max() == 254
    for cluster in (254, -1):
        with pytest.raises(ValueError, match=r"0\.\.253"):
            paint(masks, np.array([cluster]), np.ones(1), (3, 5))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
def test_clusters_of_any_integer_type_are_painted_alike(kind):
    assert paint(np.ones((1, 3, 5), bool), np.array([127], kind), np.ones(1), (3, 5)).max() == 128


def test_clusters_that_are_no_integers_and_unknown_words_are_refused():
    masks = np.ones((1, 3, 5), bool)
    with pytest.raises(ValueError, match="clusters: wanted integers, found float64"):
        paint(masks, np.array([1.5]), np.ones(1), (3, 5))
    with pytest.raises(ValueError, match="overlap: wanted skip, below or legacy, got 'skipp'"):
        paint(masks, np.array([1]), np.ones(1), (3, 5), overlap="skipp")


def test_fields_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="one length: 1, 2, 1"):
        paint(np.ones((1, 3, 5), bool), np.zeros(2, int), np.ones(1), (3, 5))


@pytest.mark.parametrize("masks", [np.ones((1, 5, 3), bool), np.ones((1, 3, 5), np.uint8)])
def test_a_mask_of_another_size_or_dtype_is_refused(masks):
    with pytest.raises(ValueError, match="masks: wanted"):
        paint(masks, np.zeros(1, int), np.ones(1), (3, 5))


def test_what_is_ignored_equals_the_rule_read_pixel_by_pixel(rng):
    for n in (0, 1, 3):
        masks = rng.random((n, 4, 7)) < 0.3
        label_map = rng.integers(0, 3, (4, 7)).astype(np.uint8)
        found = ignoring(label_map, masks)
        assert found.dtype == np.uint8
        for row, col in np.ndindex(4, 7):
            is_unsure = label_map[row, col] == 0 and any(mask[row, col] for mask in masks)
            assert found[row, col] == (255 if is_unsure else label_map[row, col])
