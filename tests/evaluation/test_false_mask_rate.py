import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, false_mask_rate

OBJECT, CROWD, MASK = {"crowd": False}, {"crowd": True}, {"score": 0.5}
TRUTH = {1: [OBJECT], 2: [], 3: [CROWD], 4: [], 5: []}
RESULTS = {1: [MASK], 2: [MASK, MASK], 3: [], 5: []}


def rate(**given):
    counted = false_mask_rate.counted(TRUTH, **given)
    return bootstrap.value(false_mask_rate.statistic(TRUTH, RESULTS, counted), len(TRUTH))


def test_pictures_without_objects_count_and_crowds_are_none():
    assert false_mask_rate.counted(TRUTH).tolist() == [False, True, True, True, True]
    assert rate() == pytest.approx(1 / 4)


def test_a_picture_that_was_refused_has_not_found_nothing():
    assert rate(refused={4, 5}) == pytest.approx(1 / 2)
    assert np.isnan(rate(refused={2, 3, 4, 5}))
