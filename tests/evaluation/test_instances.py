import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskdistill.evaluation import instances
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle
from tests.reference import instances as reference

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
SIZE = (60, 140)


def record(x1, y1, x2, y2, category=1, **more):
    mask = np.zeros((1, *SIZE), bool)
    mask[0, y1:y2, x1:x2] = True
    return {
        "rle": rle.encode(mask)[0],
        "box": rle.boxes(rle.encode(mask))[0],
        "category": category,
    } | more


def drawn_box(rng):
    x1, y1 = int(rng.integers(0, 100)), int(rng.integers(0, 40))
    return x1, y1, int(rng.integers(x1 + 3, 141)), int(rng.integers(y1 + 3, 61))


def drawn(rng, n_pictures=6):
    """Objects (one in seven a crowd) and predictions: about half are objects with their corners moved."""
    truth, results = {}, {}
    for number in range(1, n_pictures + 1):
        at = [drawn_box(rng) for _ in range(rng.integers(0, 5))]
        truth[number] = [
            record(*box, int(rng.integers(1, 4)), crowd=bool(rng.random() < 1 / 7)) for box in at
        ]
        found = []
        for x1, y1, x2, y2 in at:
            moved = np.clip(
                np.array([x1, y1, x2, y2]) + rng.integers(-2, 3, 4), 0, [138, 58, 140, 60]
            ).tolist()
            found.append(
                (moved[0], moved[1], max(moved[2], moved[0] + 2), max(moved[3], moved[1] + 2))
            )
        found += [drawn_box(rng) for _ in range(rng.integers(0, 4))]
        results[number] = [
            record(*box, int(rng.integers(1, 4)), score=float(rng.random())) for box in found
        ]
    return truth, results


def judged(truth, results, iou_type, class_agnostic):
    """The twelve numbers of pycocotools."""
    rows = []
    for number, records in truth.items():
        for each in records:
            x, y, width, height = (
                float(edge) for edge in box_ops.xywh(np.asarray(each["box"])[None])[0]
            )
            area = int(rle.areas([each["rle"]])[0])
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": number,
                    "category_id": each["category"],
                    "area": area,
                }
                | {
                    "bbox": [x, y, width, height],
                    "segmentation": each["rle"],
                    "iscrowd": int(each["crowd"]),
                }
            )
    found = []
    for number, records in results.items():
        for each in records:
            box = [float(edge) for edge in box_ops.xywh(np.asarray(each["box"])[None])[0]]
            found.append({"image_id": number, "category_id": each["category"], "bbox": box})
            found[-1] |= {"segmentation": dict(each["rle"]), "score": each["score"]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": number, "height": SIZE[0], "width": SIZE[1]} for number in truth],
            "annotations": rows,
            "categories": [{"id": number, "name": str(number)} for number in (1, 2, 3)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), iou_type)
        evaluation.params.useCats = int(not class_agnostic)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float("nan") if value < 0 else float(value) for value in evaluation.stats]


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_the_twelve_numbers_equal_those_of_pycocotools(rng, iou_type, class_agnostic):
    truth, results = drawn(rng)
    found = instances.average_precision(
        truth, results, iou_type=iou_type, class_agnostic=class_agnostic
    )
    assert tuple(found) == NAMES
    np.testing.assert_allclose(
        list(found.values()), judged(truth, results, iou_type, class_agnostic), atol=1e-12
    )


def test_the_truth_as_its_own_result_reaches_1(rng):
    truth, _ = drawn(rng)
    own = {
        n: [{**each, "score": 1.0} for each in rows if not each["crowd"]]
        for n, rows in truth.items()
    }
    for class_agnostic in (True, False):
        found = instances.average_precision(truth, own, class_agnostic=class_agnostic)
        assert found["AP"] == pytest.approx(1)
        assert found["AR100"] == pytest.approx(1)


def test_the_first_object_counts_as_found():
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    assert (
        instances.average_precision(
            truth, {1: [record(0, 0, 20, 20, score=0.5)]}, class_agnostic=True
        )["AP"]
        == 1
    )


def test_a_class_that_is_wrong_costs_only_where_classes_count():
    truth = {1: [record(0, 0, 20, 20, 1, crowd=False)]}
    results = {1: [record(0, 0, 20, 20, 2, score=0.5)]}
    assert instances.average_precision(truth, results, class_agnostic=True)["AP50"] == 1
    assert instances.average_precision(truth, results, class_agnostic=False)["AP50"] == 0


def test_a_confident_mask_in_a_picture_without_objects_costs_precision():
    truth = {1: [record(0, 0, 20, 20, crowd=False)], 2: []}
    right, wrong = record(0, 0, 20, 20, score=0.5), record(0, 0, 20, 20, score=0.9)
    assert instances.average_precision(truth, {1: [right]}, class_agnostic=True)["AP"] == 1
    assert instances.average_precision(truth, {1: [right], 2: [wrong]}, class_agnostic=True)[
        "AP"
    ] == pytest.approx(0.5)


def test_results_of_pictures_without_truth_are_left_out():
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    results = {1: [record(0, 0, 20, 20, score=0.5)], 9: [record(0, 0, 20, 20, score=0.9)]}
    assert instances.average_precision(truth, results, class_agnostic=True)["AP"] == 1


def test_a_crowd_is_neither_to_be_found_nor_a_mistake():
    truth = {1: [record(0, 0, 20, 20, crowd=False), record(40, 0, 120, 50, crowd=True)]}
    results = {1: [record(50, 5, 70, 25, score=0.9), record(0, 0, 20, 20, score=0.5)]}
    assert instances.average_precision(truth, results, class_agnostic=True)["AP"] == 1


def test_no_results_are_0_and_no_objects_are_nan():
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    for results in ({}, {1: []}):
        assert instances.average_precision(truth, results, class_agnostic=True)["AP"] == 0
    results = {1: [record(0, 0, 20, 20, score=0.5)]}
    for empty in ({}, {1: []}, {1: [record(0, 0, 20, 20, crowd=True)]}):
        assert all(
            np.isnan(
                list(instances.average_precision(empty, results, class_agnostic=True).values())
            )
        )


def test_a_size_without_objects_is_nan_and_sizes_are_those_of_the_masks():
    ring = np.ones((1, *SIZE), bool)
    ring[0, 2:-2, 2:-2] = False  # 784 pixels in a box of 8400
    mask = rle.encode(ring)[0]
    truth = {1: [{"rle": mask, "box": rle.boxes([mask])[0], "category": 1, "crowd": False}]}
    found = instances.average_precision(
        truth, {1: [{**truth[1][0], "score": 1.0}]}, class_agnostic=True
    )
    assert found["APs"] == 1
    assert np.isnan(found["APm"])
    assert np.isnan(found["APl"])


def test_the_size_of_a_result_is_that_of_its_box_or_of_its_mask():
    ring = np.zeros((1, *SIZE), bool)
    ring[0, :, 30:] = True
    ring[0, 2:-2, 32:-2] = False  # 656 pixels, small, in a box of 6600, which is not
    mask = rle.encode(ring)[0]
    missed = {"rle": mask, "box": rle.boxes([mask])[0], "category": 1, "score": 0.9}
    truth = {1: [record(0, 0, 20, 20, crowd=False)]}
    results = {1: [missed, record(0, 0, 20, 20, score=0.5)]}
    by_box, by_mask = (
        instances.average_precision(truth, results, class_agnostic=True, areas=of)["APs"]
        for of in ("box", "mask")
    )
    assert by_box == pytest.approx(1)  # what is not small does not count there
    assert by_mask == pytest.approx(0.5)


def test_boxes_alone_are_enough_to_compare_by_box():
    truth = {1: [{"box": [0, 0, 20, 20], "category": 1, "crowd": False}]}
    results = {1: [{"box": [0, 0, 20, 20], "category": 1, "score": 0.5}]}
    assert (
        instances.average_precision(truth, results, iou_type="bbox", class_agnostic=True)["AP"] == 1
    )


def test_nothing_is_printed_and_the_arguments_stay_as_they_are(rng, capfd):
    truth, results = drawn(rng, n_pictures=2)
    before = repr((truth, results))
    instances.average_precision(truth, results, class_agnostic=False)
    assert repr((truth, results)) == before
    assert capfd.readouterr() == ("", "")


def overlap(iou_type):
    def iou_of(mask, row):
        if iou_type == "segm":
            return rle.iou([mask["rle"]], [row["rle"]], crowd=np.array([row["crowd"]]))[0, 0]
        one, other = np.array(mask["box"], np.float64)[None], np.array(row["box"], np.float64)[None]
        if not row["crowd"]:
            return box_ops.iou(one, other)[0, 0]
        shared = np.prod(
            np.clip(np.minimum(one, other)[0, 2:] - np.maximum(one, other)[0, :2], 0, None)
        )
        return shared / box_ops.areas(one)[0]

    return iou_of


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_the_twelve_numbers_equal_those_of_the_loops(rng, iou_type, class_agnostic):
    truth, results = drawn(rng, n_pictures=4)
    for rows in truth.values():
        for row in rows:
            row["area"] = int(rle.areas([row["rle"]])[0])
    wanted = reference.evaluate(truth, results, overlap(iou_type), class_agnostic=class_agnostic)
    found = instances.average_precision(
        truth, results, iou_type=iou_type, class_agnostic=class_agnostic
    )
    for name in NAMES:
        assert found[name] == pytest.approx(wanted[name], abs=1e-12, nan_ok=True), name


def test_single_keeps_the_best_mask_of_a_picture_and_the_object_whose_box_it_overlaps_most():
    near, far = record(0, 0, 20, 20, 1, crowd=False), record(60, 0, 90, 20, 2, crowd=True)
    weak, best, later = (
        record(0, 0, 20, 20, score=0.2),
        record(58, 0, 90, 20, score=0.9),
        record(0, 0, 9, 9, score=0.9),
    )
    truth = {1: [near, far], 2: [near], 3: [], 4: [near, far]}
    results = {
        1: [weak, best, later],
        3: [weak],
        4: [record(100, 40, 120, 50, score=0.1)],
        9: [best],
    }
    objects, masks = instances.most_confident(truth, results)
    assert masks == {1: [best], 2: [], 3: [], 4: results[4]}
    assert objects == {1: [far], 2: [], 3: [], 4: [near]}  # the first one where no box is met


def test_single_rounds_the_corners_of_objects_halves_to_even():
    edges = [[0.5, 0, 10, 10], [0.4, 0, 10.6, 10]]  # become 0..10 and 0..11
    truth = {1: [{"box": edge, "category": 1, "crowd": False} for edge in edges]}
    results = {1: [{"box": [0.45, 0, 10.45, 10], "category": 1, "score": 1.0}]}
    objects, _ = instances.most_confident(truth, results)
    assert objects[1][0]["box"] == edges[0]
    assert (
        box_ops.iou(np.array(results[1][0]["box"])[None], np.array(edges)).argmax() == 1
    )  # as they are


def test_each_mask_votes_for_the_object_of_highest_box_iou_even_if_it_meets_none():
    truth = {
        1: [record(0, 0, 20, 20, 3, crowd=False), record(60, 0, 90, 20, 1, crowd=False)],
        2: [record(0, 0, 20, 20, 2, crowd=True)],
        3: [],
    }
    found = [
        record(61, 0, 90, 20, cluster=0),
        record(0, 0, 30, 20, cluster=1),
        record(100, 40, 120, 50, cluster=1),  # on nothing
    ]
    counts = instances.votes(
        truth, {1: found, 2: found, 3: found, 7: found}, n_clusters=3, n_classes=4
    )
    np.testing.assert_array_equal(counts, [[0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]])


def test_votes_by_overlap_are_those_of_masks_that_meet_an_object():
    truth = {1: [record(0, 0, 20, 20, 3, crowd=False), record(60, 0, 90, 20, 1, crowd=False)]}
    found = [
        record(61, 0, 90, 20, cluster=0),
        record(0, 0, 30, 20, cluster=1),
        record(0, 0, 60, 20, cluster=1),
    ]
    counts = instances.votes(truth, {1: found}, n_clusters=2, n_classes=4, rule="overlap")
    np.testing.assert_array_equal(counts, [[0, 1, 0, 0], [0, 0, 0, 1]])


def test_unknown_words_are_refused():
    nothing = {1: []}
    for wrong in ({"iou_type": "box"}, {"areas": "masks"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: wanted"):
            instances.average_precision(nothing, nothing, class_agnostic=True, **wrong)
    with pytest.raises(ValueError, match="rule: wanted release or overlap, got 'iou'"):
        instances.votes(nothing, nothing, n_clusters=1, n_classes=1, rule="iou")


def test_named_masks_have_the_class_of_their_cluster_and_others_one_that_no_object_has():
    found = instances.named({4: [{"cluster": 1, "score": 0.5}, {"cluster": 0}]}, {1: 7}, without=9)
    assert found == {
        4: [{"cluster": 1, "score": 0.5, "category": 7}, {"cluster": 0, "category": 9}]
    }
