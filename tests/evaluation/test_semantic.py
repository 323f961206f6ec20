import numpy as np
import pytest

from maskdistill.evaluation import semantic
from tests.reference import semantic as reference


@pytest.mark.parametrize("columns", [None, 3, 7])
def test_the_fast_confusion_equals_counting_pixel_by_pixel(rng, columns):
    prediction, truth = rng.integers(0, 4, (2, 3, 5)).astype(np.uint8)
    truth[0, :2] = 255
    prediction[2, 1] = 255
    prediction[2, 2] = 5
    wanted = reference.confusion(prediction, truth, 4, columns=columns)
    found = semantic.confusion(prediction, truth, 4, columns=columns)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.int64


@pytest.mark.parametrize("ignore", [255, 2, 0, 300])
def test_bytes_are_counted_as_any_other_integers(rng, ignore):
    truth = rng.integers(0, 5, (7, 11)).astype(np.uint8)
    truth[0] = ignore if ignore < 256 else 0
    prediction = rng.integers(0, 256, (7, 11)).astype(np.uint8)
    for columns in (1, 5, 255, 256):
        fast = semantic.confusion(prediction, truth, 5, columns=columns, ignore=ignore)
        slow = semantic.confusion(
            prediction.astype(np.int32), truth.astype(np.int32), 5, columns=columns, ignore=ignore
        )
        np.testing.assert_array_equal(fast, slow)
        np.testing.assert_array_equal(
            fast, reference.confusion(prediction, truth, 5, columns=columns, ignore=ignore)
        )


def test_the_loop_over_classes_gives_the_same_iou(rng):
    prediction, truth = rng.integers(0, 6, (2, 9, 12)).astype(np.uint8)
    truth[:2] = 255
    right, false, missed = reference.loop_over_classes(prediction, truth, 7)
    found = semantic.iou(semantic.confusion(prediction, truth, 7))
    np.testing.assert_allclose(
        np.nan_to_num(found), right / np.maximum(right + false + missed, 1e-8)
    )


def test_a_negative_prediction_is_a_miss():
    found = semantic.confusion(np.array([[-1, 0, 1]]), np.array([[1, 0, 1]]), 2)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 1]])


def test_a_picture_that_is_ignored_whole_counts_nothing():
    ignored = np.full((3, 5), 255, np.uint8)
    assert semantic.confusion(np.zeros((3, 5), np.uint8), ignored, 4).sum() == 0


def test_iou_equals_that_of_sets_of_pixels(rng):
    prediction, truth = rng.integers(0, 5, (2, 6, 9)).astype(np.uint8)
    truth[0] = 255
    wanted = [reference.iou_of_class(prediction, truth, which) for which in range(6)]
    found = semantic.iou(semantic.confusion(prediction, truth, 6))
    np.testing.assert_allclose(found, wanted)
    assert np.isnan(found[5])


def test_a_class_absent_from_the_truth_is_left_out_of_the_mean_but_counts_as_0_in_the_paper():
    counts = np.array(
        [[6, 0, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]]
    )  # class 2 is predicted, never true
    assert semantic.mean_iou(counts) == pytest.approx((1 + 0.5) / 2)
    assert semantic.mean_iou(counts, protocol="paper") == pytest.approx((1 + 0.5 + 0) / 3)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="protocol: wanted occurring or paper, got 'papr'"):
        semantic.mean_iou(np.array([[1, 0, 0], [0, 0, 0]]), protocol="papr")


def test_a_confusion_with_columns_of_clusters_is_refused():
    with pytest.raises(ValueError, match=r"wanted \(classes, classes \+ 1\), found \(2, 5\)"):
        semantic.iou(np.ones((2, 5), np.int64))


def test_a_predicted_class_that_is_not_in_the_truth_costs_the_others_their_pixels():
    assert semantic.mean_iou(np.array([[3, 3, 0], [0, 0, 0]])) == pytest.approx(0.5)


def test_without_pixels_the_mean_is_nan():
    nothing = np.zeros((3, 4), np.int64)
    assert np.isnan(semantic.mean_iou(nothing))
    assert np.isnan(semantic.pixel_accuracy(nothing))


def test_pixel_accuracy_counts_misses():
    assert semantic.pixel_accuracy(np.array([[3, 1, 1], [0, 4, 1]])) == pytest.approx(0.7)


def test_maps_of_unlike_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(5, 3\)"):
        semantic.confusion(np.zeros((3, 5), int), np.zeros((5, 3), int), 2)


@pytest.mark.parametrize("value, kind", [(-1, int), (4, int), (4, np.uint8), (254, np.uint8)])
def test_a_truth_outside_its_classes_is_refused(value, kind):
    with pytest.raises(ValueError, match=r"wanted 0\.\.3 or 255"):
        semantic.confusion(np.zeros((1, 2), kind), np.array([[0, value]]).astype(kind), 4)


def test_foreground_is_what_is_neither_background_nor_ignored():
    assert semantic.foreground(np.array([[0, 1, 254], [255, 0, 0]], np.uint8)) == (2, 5)
    assert semantic.foreground(np.full((2, 2), 255)) == (0, 0)
