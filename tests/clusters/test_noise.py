import numpy as np
import pytest

from maskdistill.clusters import noise


def test_masks_far_from_their_centroid_by_the_measure_of_their_own_cluster_are_flagged():
    distances, ids = np.array([1, 1, 1, 3.5, 0.1, 0.1, 0.4]), np.array([0, 0, 0, 0, 1, 1, 1])
    assert noise.far(distances, ids, factor=3).tolist() == [
        False,
        False,
        False,
        True,
        False,
        False,
        True,
    ]
    assert not noise.far(distances, ids, factor=4).any()
    assert not noise.far(distances, ids, factor=0).any()
    assert not noise.far(np.zeros(3), np.zeros(3, int), factor=2).any()
    assert noise.far(np.zeros(0), np.zeros(0, int), factor=2).shape == (0,)


def test_the_sides_that_a_box_touches_are_counted():
    boxes = [[0, 0, 20, 30], [1, 1, 19, 29], [0, 5, 20, 9], [3, 0, 8, 30], [3, 4, 20, 9]]
    found = noise.sides_touched(np.array(boxes), np.tile([30, 20], (5, 1)))
    assert found.tolist() == [1, 0, 0.5, 0.5, 0.25]
    assert noise.sides_touched(np.zeros((0, 4)), np.zeros((0, 2))).shape == (0,)


def test_clusters_are_flagged_by_the_median_of_their_masks():
    ids = np.array([0, 0, 0, 1, 1, 1, 2, 4])
    sides = np.array([1, 0.75, 0, 0, 0.25, 0, 0, 0])
    areas = np.array([0.1, 0.2, 0.9, 0.8, 0.7, 0.1, 0.2, 0])
    scores = np.array([0.9, 0.8, 0.1, 0.9, 0.9, 0.9, 0.2, 0])
    own = {"k": 5, "sides": sides, "areas": areas, "scores": scores}
    found = noise.like_background(ids, **own, max_sides=0.5, max_area=0.5, min_score=0.3)
    assert found == [["border"], ["area"], ["score"], [], ["score"]]
    assert noise.like_background(ids, **own) == [[]] * 5


@pytest.mark.parametrize("value", [0.5, 0.25])
def test_what_is_at_a_limit_is_not_flagged(value):
    own = {"sides": np.array([value]), "areas": np.array([value]), "scores": np.array([value])}
    limits = {"max_sides": value, "max_area": value, "min_score": value}
    assert noise.like_background(np.array([0]), k=1, **own, **limits) == [[]]
