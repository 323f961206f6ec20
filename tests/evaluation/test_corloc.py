import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, corloc

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
    assert np.isnan(corloc.share([]))


def test_unlike_numbers_of_pictures_are_refused():
    with pytest.raises(ValueError, match="zip"):
        corloc.corloc([None], [OBJECT, OBJECT])


def test_over_pictures_it_is_of_the_best_scored_mask_and_of_pictures_with_objects(rng):
    """Crowds are no objects; of equal scores the first mask counts; no mask is a miss."""
    hit, miss = [0, 0, 10, 10], [20, 20, 30, 30]

    def mask(box, score):
        return {"box": box, "score": score}

    truth = {
        7: [{"box": hit, "crowd": False}],
        2: [{"box": hit, "crowd": False}],
        5: [{"box": hit, "crowd": True}],
        9: [{"box": hit, "crowd": False}],
        4: [],
    }
    results = {
        7: [mask(miss, 0.4), mask(hit, 0.9)],
        2: [mask(miss, 0.9), mask(hit, 0.9)],
        5: [mask(hit, 0.9)],
        4: [mask(hit, 0.9)],
    }
    of = corloc.statistic(truth, results)
    assert bootstrap.value(of, 5) == pytest.approx(1 / 3)
    np.testing.assert_allclose(of(np.array([[2, 0, 1, 0, 1], [0, 0, 1, 0, 3]])), [1, np.nan])
