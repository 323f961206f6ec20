import numpy as np
import pytest

from maskdistill.evaluation import instances, mask_matches
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle
from tests.evaluation.test_instances import drawn


def matches(truth, results, iou_type):
    found = []
    for number, objects in truth.items():
        rows = results[number]
        crowd = np.array([each["crowd"] for each in objects], bool)
        if iou_type == "segm":
            iou = rle.iou(
                [row["rle"] for row in rows], [each["rle"] for each in objects], crowd=crowd
            )
        else:
            iou = box_ops.iou(
                *(
                    np.array([each["box"] for each in side]).reshape(-1, 4)
                    for side in (rows, objects)
                )
            )
        found.append(mask_matches.match(np.array([row["score"] for row in rows]), iou, crowd))
    return found


def average_precision(pictures):
    """AP at the IoU of the matching, each picture once."""
    once = np.ones(len(pictures), np.int64)
    return float(mask_matches.Curve(pictures).values(once)[0].mean())


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_ap_is_the_ap50_of_cocos_own_evaluation(rng, iou_type):
    for _ in range(20):
        truth, results = drawn(rng, 8)
        if iou_type == "bbox":  # boxes are compared without crowds
            truth = {
                number: [row for row in rows if not row["crowd"]] for number, rows in truth.items()
            }
        wanted = instances.average_precision(
            truth, results, iou_type=iou_type, class_agnostic=True
        )["AP50"]
        assert average_precision(matches(truth, results, iou_type)) == pytest.approx(
            wanted, abs=1e-9
        )


def test_each_object_is_taken_once_by_the_mask_of_highest_score():
    iou = np.array([[0.9, 0.0], [0.6, 0.5], [0.8, 0.55]])
    found = mask_matches.match(np.array([0.1, 0.5, 0.3]), iou, np.zeros(2, bool))
    np.testing.assert_array_equal(found.scores, [0.5, 0.3, 0.1])
    np.testing.assert_array_equal(found.hits, [True, True, False])
    assert found.n_objects == 2


def test_a_mask_on_a_crowd_counts_neither_way():
    crowd = np.array([True, False])
    found = mask_matches.match(np.array([0.9, 0.8]), np.array([[0.9, 0.1], [0.7, 0.6]]), crowd)
    np.testing.assert_array_equal(found.ignored, [True, False])
    assert average_precision([found]) == pytest.approx(1.0)


def test_nothing_found_is_zero_and_nothing_to_find_is_nan():
    none = mask_matches.match(np.zeros(0), np.zeros((0, 2)), np.zeros(2, bool))
    assert average_precision([none]) == 0.0
    assert np.isnan(
        average_precision([mask_matches.match(np.ones(1), np.zeros((1, 0)), np.zeros(0, bool))])
    )
    assert np.isnan(average_precision([]))
