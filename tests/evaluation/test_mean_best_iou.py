import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, mean_best_iou


def value(*ious):
    return bootstrap.value(mean_best_iou.statistic(ious), len(ious))


def test_each_object_has_its_best_mask():
    first = np.array([[0.2, 0.9], [0.6, 0.1]])  # two masks, two objects
    assert value(first) == pytest.approx((0.6 + 0.9) / 2)


def test_objects_of_a_picture_without_masks_have_iou_0_and_pictures_without_objects_do_not_count():
    missed, empty = np.zeros((0, 3)), np.zeros((2, 0))
    assert value(np.array([[0.8]]), missed, empty) == pytest.approx(0.8 / 4)


def test_without_objects_there_is_no_value():
    assert np.isnan(value(np.zeros((2, 0))))
    assert np.isnan(value(np.zeros((0, 0))))
