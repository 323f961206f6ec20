import numpy as np
import pytest

from maskdistill.evaluation import corloc

OBJECT = np.array([[0, 0, 10, 10]], np.float32)
NOTHING = np.zeros((0, 4), np.float32)


def test_an_iou_of_exactly_one_half_is_a_hit():
    assert corloc.corloc([np.array([0, 0, 10, 5])], [OBJECT]) == 1
    assert corloc.corloc([np.array([0, 0, 10, 4.9])], [OBJECT]) == 0


def test_any_object_of_the_picture_may_be_met():
    both = np.concatenate([OBJECT + 50, OBJECT])
    assert corloc.corloc([OBJECT[0]], [both]) == 1


def test_a_picture_without_a_box_is_a_miss():
    assert corloc.corloc([None, OBJECT[0]], [OBJECT, OBJECT]) == 0.5


def test_pictures_without_objects_count_as_misses_or_not_at_all():
    assert corloc.corloc([OBJECT[0], OBJECT[0]], [OBJECT, NOTHING]) == 0.5
    assert corloc.corloc([OBJECT[0], OBJECT[0]], [OBJECT, NOTHING], count_empty=False) == 1


def test_without_pictures_there_is_no_value():
    assert np.isnan(corloc.corloc([], []))
    assert np.isnan(corloc.corloc([OBJECT[0]], [NOTHING], count_empty=False))
    assert np.isnan(corloc.mean_best_iou([]))


def test_mean_best_iou_takes_for_each_object_its_best_mask():
    first = np.array([[0.2, 0.9], [0.6, 0.1]])  # two masks, two objects
    assert corloc.mean_best_iou([first]) == pytest.approx((0.6 + 0.9) / 2)


def test_objects_of_a_picture_without_masks_have_iou_0_and_pictures_without_objects_do_not_count():
    missed, empty = np.zeros((0, 3)), np.zeros((2, 0))
    assert corloc.mean_best_iou([np.array([[0.8]]), missed, empty]) == pytest.approx(0.8 / 4)


def test_unlike_numbers_of_pictures_are_refused():
    with pytest.raises(ValueError, match="zip"):
        corloc.corloc([None], [OBJECT, OBJECT])
