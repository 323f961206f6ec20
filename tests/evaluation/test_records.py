import numpy as np
import pytest

from maskdistill.evaluation import records
from maskdistill.masks import rle


def encoded(rows):
    mask = np.zeros((1, 6, 8), bool)
    mask[0, :rows] = True
    return rle.encode(mask)[0]


def test_crowds_are_no_solid_objects_and_the_order_stays():
    objects = [{"crowd": False, "n": 1}, {"crowd": True, "n": 2}, {"crowd": False, "n": 3}]
    assert [row["n"] for row in records.solid(objects)] == [1, 3]


def test_of_equal_scores_the_first_mask_is_the_best():
    masks = [{"score": 0.2}, {"score": 0.8, "n": 1}, {"score": 0.8, "n": 2}]
    assert records.best(masks) == {"score": 0.8, "n": 1}
    assert records.best([]) is None


def test_boxes_of_nothing_have_four_columns():
    assert records.boxes([]).shape == (0, 4)
    assert records.boxes([{"box": [0, 1, 2, 3]}]).tolist() == [[0, 1, 2, 3]]


def test_ious_are_of_each_picture_of_the_truth_in_its_order_with_objects_that_are_no_crowds():
    crowd = {"rle": encoded(6), "crowd": True}
    truth = {8: [{"rle": encoded(4), "crowd": False}, crowd], 3: [], 5: [crowd]}
    results = {3: [{"rle": encoded(2)}], 8: [{"rle": encoded(2)}, {"rle": encoded(4)}]}
    first, second, third = records.ious(truth, results)
    np.testing.assert_allclose(first, [[0.5], [1.0]])
    assert (second.shape, third.shape) == ((1, 0), (0, 0))
    assert pytest.approx(0.5) == records.HIT
