import numpy as np
import pytest

from maskdistill.evaluation import curves, instances
from maskdistill.evaluation.curves import NAMES, Curves
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle
from tests.evaluation.test_instances import SIZE, drawn, record


def once(truth):
    return np.ones((1, len(truth)), np.int64)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_each_picture_once_gives_cocos_numbers(rng, iou_type, class_agnostic):
    for _ in range(10):
        truth, results = drawn(rng, 8)
        wanted = instances.average_precision(
            truth, results, iou_type=iou_type, class_agnostic=class_agnostic
        )
        found = Curves(truth, results, iou_type=iou_type, class_agnostic=class_agnostic).numbers(
            once(truth)
        )
        for name in NAMES:
            assert found[name][0] == pytest.approx(wanted[name], abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("class_agnostic", [True, False])
def test_a_weight_is_as_many_copies_of_the_picture(rng, class_agnostic):
    truth, results = drawn(rng, 6)
    weights = np.array([[2, 0, 1, 3, 0, 1]])
    copies = [number for number, times in zip(truth, weights[0], strict=True) for _ in range(times)]
    many = {place: truth[number] for place, number in enumerate(copies)}
    found = {place: results[number] for place, number in enumerate(copies)}
    wanted = instances.average_precision(many, found, class_agnostic=class_agnostic)
    numbers = Curves(truth, results, class_agnostic=class_agnostic).numbers(weights)
    for name in NAMES:
        assert numbers[name][0] == pytest.approx(wanted[name], abs=1e-12), name


def test_at_most_a_hundred_masks_of_a_picture_count():
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    many = [record(60, 0, 90, 20, score=0.9)] * 100 + [record(0, 0, 20, 20, score=0.5)]
    assert Curves(truth, {1: many}, class_agnostic=True).numbers(once(truth))["AR100"][0] == 0
    assert Curves(truth, {1: many[1:]}, class_agnostic=True).numbers(once(truth))["AR100"][0] == 1


def test_a_sample_without_objects_has_no_value_and_one_without_masks_has_0():
    truth = {1: [], 2: [record(0, 0, 20, 20, crowd=False)]}
    curves = Curves(truth, {1: [record(0, 0, 20, 20, score=0.5)]}, class_agnostic=True)
    found = curves.numbers(np.array([[1, 0], [0, 1], [1, 1]]))
    np.testing.assert_array_equal(found["AP"], [np.nan, 0, 0])
    assert np.isnan(
        Curves({1: []}, {}, class_agnostic=True).numbers(np.ones((1, 1), int))["AP"]
    ).all()
    assert np.isnan(
        Curves({}, {}, class_agnostic=False).numbers(np.ones((1, 0), int))["AP50"]
    ).all()


def test_a_class_that_a_sample_does_not_hold_is_left_out_of_its_mean():
    truth = {1: [record(0, 0, 20, 20, 1, crowd=False)], 2: [record(0, 0, 20, 20, 2, crowd=False)]}
    results = {1: [record(0, 0, 20, 20, 1, score=0.5)]}
    found = Curves(truth, results, class_agnostic=False).numbers(np.array([[1, 1], [2, 0], [0, 2]]))
    np.testing.assert_array_equal(found["AP50"], [0.5, 1, 0])


def test_masks_may_be_without_classes_where_they_do_not_count():
    assert SIZE[0] > 20
    mask = record(0, 0, 20, 20, score=1.0)
    del mask["category"]
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    assert Curves(truth, {1: [mask]}, class_agnostic=True).numbers(once(truth))["AP"][0] == 1


def test_an_unknown_kind_of_overlap_is_refused():
    with pytest.raises(ValueError, match="iou_type: wanted segm or bbox, got 'box'"):
        Curves({1: []}, {1: []}, iou_type="box", class_agnostic=True)


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
        found.append(curves.match(np.array([row["score"] for row in rows]), iou, crowd))
    return found


def average_precision(pictures):
    """AP at the IoU of the matching, each picture once."""
    once = np.ones(len(pictures), np.int64)
    return float(curves.Curve(pictures).values(once)[0].mean())


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
    found = curves.match(np.array([0.1, 0.5, 0.3]), iou, np.zeros(2, bool))
    np.testing.assert_array_equal(found.scores, [0.5, 0.3, 0.1])
    np.testing.assert_array_equal(found.hits, [True, True, False])
    assert found.n_objects == 2


def test_a_mask_on_a_crowd_counts_neither_way():
    crowd = np.array([True, False])
    found = curves.match(np.array([0.9, 0.8]), np.array([[0.9, 0.1], [0.7, 0.6]]), crowd)
    np.testing.assert_array_equal(found.ignored, [True, False])
    assert average_precision([found]) == pytest.approx(1.0)


def test_nothing_found_is_zero_and_nothing_to_find_is_nan():
    none = curves.match(np.zeros(0), np.zeros((0, 2)), np.zeros(2, bool))
    assert average_precision([none]) == 0.0
    assert np.isnan(
        average_precision([curves.match(np.ones(1), np.zeros((1, 0)), np.zeros(0, bool))])
    )
    assert np.isnan(average_precision([]))
