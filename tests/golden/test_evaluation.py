"""Evaluation, matching, painting and outlines against what the originals gave."""

import json

import numpy as np
import pytest

from maskdistill.evaluation import clusters, corloc, instances, matching, semantic
from maskdistill.labels import paint, select
from maskdistill.masks import boxes, polygons, rle
from tests.evaluation.test_instances import overlap
from tests.reference import instances as plain

METHODS = ["hungarian_count", "hungarian_iou", "majority_count", "majority_iou"]
CASES = ["five_noisy", "unbalanced", "count_iou_differ", "empty_cluster", "ties"]
MATCHINGS = [(name, method) for name in CASES for method in METHODS]
MATCHINGS += [
    ("overcluster", "majority_count"),
    ("overcluster", "majority_iou"),
]  # one to one needs equal numbers there
NAMES = {
    "AP": "AP",
    "AP50": "AP50",
    "AP75": "AP75",
    "APs": "AP_small",
    "APm": "AP_medium",
    "APl": "AP_large",
}
NAMES |= {
    "AR1": "AR_1",
    "AR10": "AR_10",
    "AR100": "AR_100",
    "ARs": "AR_small",
    "ARm": "AR_medium",
    "ARl": "AR_large",
}


def loaded(reference, name):
    return json.loads((reference / "golden" / "evaluation" / name).read_text(encoding="utf-8"))


def by_picture(reference):
    """Predictions with their place in the file, by picture, in file order."""
    found = {}
    for place, row in enumerate(loaded(reference, "instances_predictions.json")):
        found.setdefault(row["image_id"], []).append(row | {"place": place})
    return found


def record(row):
    x, y, width, height = row["bbox"]
    return {
        "rle": row["segmentation"],
        "box": [x, y, x + width, y + height],
        "category": row["category_id"],
    }


def test_the_confusion_of_label_maps(reference):
    maps = np.load(reference / "golden" / "evaluation" / "semantic_maps.npz")
    wanted = loaded(reference, "semantic_expected.json")
    counts = sum(
        semantic.confusion(maps[f"pred_{n:02d}"], maps[f"gt_{n:02d}"], 21)
        for n in range(wanted["n_pictures"])
    )
    right = np.diag(counts[:, :21])
    assert right.tolist() == wanted["tp"]
    assert (counts[:, :21].sum(axis=0) - right).tolist() == wanted["fp"]
    assert (counts.sum(axis=1) - right).tolist() == wanted["fn"]
    np.testing.assert_allclose(
        np.nan_to_num(semantic.iou(counts)), wanted["jaccards_all_categs"], atol=1e-12
    )
    assert semantic.mean_iou(counts, protocol="paper") == pytest.approx(wanted["mIoU"], abs=1e-12)
    assert semantic.mean_iou(counts) == pytest.approx(
        wanted["mIoU_over_classes_that_occur"], abs=1e-12
    )


@pytest.mark.parametrize("name, method", MATCHINGS)
def test_clusters_are_matched_with_classes(reference, name, method):
    case = loaded(reference, "matching.json")[name]
    wanted, found, classes = case[method], np.array(case["pred"]), np.array(case["target"])
    counts = clusters.table(found, classes, n_clusters=case["k_pred"], n_classes=case["k_target"])
    rule, by = method.split("_")
    mapping = (matching.hungarian if rule == "hungarian" else matching.majority)(counts, by=by)
    # Of several best matchings the original's depends on the order of the samples, which counts do not tell.
    if name != "ties" or method == "majority_iou":
        assert mapping == dict(map(tuple, wanted["match"]))
    assert clusters.accuracy(counts, mapping) == pytest.approx(wanted["acc"], abs=1e-12)
    assert clusters.nmi(counts) == pytest.approx(wanted["nmi_clusters"], abs=1e-9)
    assert clusters.ari(counts) == pytest.approx(wanted["ari_clusters"], abs=1e-9)


@pytest.mark.parametrize("k, rule", [(20, matching.hungarian), (40, matching.majority)])
def test_stored_clusters_reach_the_accuracy_of_the_original(reference, k, rule):
    stored = np.load(reference / "golden" / "evaluation" / "kmeans.npz")
    wanted = loaded(reference, "kmeans_expected.json")[f"k{k}"]["n_init_auto"]
    found, classes = stored[f"clusters_{k}"], stored["labels"]
    counts = clusters.table(found, classes, n_clusters=k, n_classes=20)
    mapping = rule(counts)
    assert mapping == dict(map(tuple, wanted["match"]))
    assert clusters.accuracy(counts, mapping) == pytest.approx(wanted["acc"], abs=1e-12)
    assert clusters.nmi(counts) == pytest.approx(wanted["nmi_clusters"], abs=1e-9)
    np.testing.assert_array_equal(
        [mapping[cluster] for cluster in found.tolist()], stored[f"reordered_{k}"]
    )


def truth_and_results(reference):
    truth = loaded(reference, "instances_gt.json")
    objects = {row["id"]: [] for row in truth["images"]}
    for row in truth["annotations"]:
        extra = {"crowd": bool(row["iscrowd"]), "id": row["id"], "area": row["area"]}
        objects[row["image_id"]].append(record(row) | extra)
    results = {
        number: [record(row) | {"score": row["score"], "place": row["place"]} for row in rows]
        for number, rows in by_picture(reference).items()
    }
    return objects, results


def ap(objects, results, iou_type, class_agnostic, first_id):
    """Ours number objects from 1; what the original's numbers from 0 do, the twin repeats: the first is never found."""
    if first_id:
        return instances.average_precision(
            objects, results, iou_type=iou_type, class_agnostic=class_agnostic
        )
    return plain.evaluate(
        objects, results, overlap(iou_type), class_agnostic=class_agnostic, first_id=0
    )


@pytest.mark.parametrize("first_id", [1, 0])
@pytest.mark.parametrize("protocol", ["multi", "single"])
@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_average_precision(reference, iou_type, class_agnostic, protocol, first_id):
    objects, results = truth_and_results(reference)
    expected = loaded(reference, "instances_expected.json")
    key = f"class_{'agnostic' if class_agnostic else 'aware'}_gt_ids_from_{first_id}"
    wanted = (
        expected["most_confident"][key][iou_type]
        if protocol == "single"
        else expected[iou_type][key]
    )
    if protocol == "single":
        objects, results = instances.most_confident(objects, results)
    found = ap(objects, results, iou_type, class_agnostic, first_id)
    for ours, theirs in NAMES.items():
        if wanted[theirs] == -1:
            assert np.isnan(found[ours])
        else:
            assert found[ours] == pytest.approx(wanted[theirs], abs=1e-12), ours


def test_the_most_confident_masks_are_paired_with_the_objects_of_the_original(reference):
    objects, results = truth_and_results(reference)
    empty = {number for number, rows in objects.items() if not rows}
    # The original's list is without the predictions of pictures that have no object.
    kept = [row["place"] for number, rows in results.items() if number not in empty for row in rows]
    paired, masks = instances.most_confident(objects, results)
    wanted = loaded(reference, "instances_expected.json")["most_confident"][
        "class_aware_gt_ids_from_1"
    ]["selected"]
    found = [
        [
            number,
            sorted(kept).index(masks[number][0]["place"]),
            rows[0]["id"] + 1,
            int(rows[0]["crowd"]),
        ]
        for number, rows in paired.items()
        if rows
    ]
    assert found == wanted


@pytest.mark.parametrize("threshold", [0.9, 0.5])
def test_detections_are_selected_as_in_the_release(reference, threshold):
    wanted = loaded(reference, "painting_expected.json")[f"threshold_{threshold}"]
    places = []
    for rows in by_picture(reference).values():
        chosen = select(np.array([row["score"] for row in rows]), min_score=threshold)
        places += [rows[position]["place"] for position in chosen]
    assert sorted(places) == sorted(wanted["prediction_index_in_file"])
    objects, results = truth_and_results(reference)
    chosen = {
        number: [row for row in rows if row["place"] in places] for number, rows in results.items()
    }
    found = ap(objects, chosen, "bbox", class_agnostic=False, first_id=0)
    assert found["AP50"] == pytest.approx(wanted["bbox_AP50_ids_from_0"], abs=1e-12)


@pytest.mark.parametrize("threshold", [0.9, 0.5])
@pytest.mark.parametrize("overlap, name", [("skip", "intended"), ("legacy", "literal")])
def test_label_maps_are_painted_as_meant_and_as_done(reference, threshold, overlap, name):
    maps = np.load(reference / "golden" / "evaluation" / "painting_maps.npz")
    expected = loaded(reference, "painting_expected.json")[f"threshold_{threshold}"][
        "pictures_with_a_map"
    ]
    seen = []
    for number, rows in by_picture(reference).items():
        scores = np.array([row["score"] for row in rows])
        chosen = select(scores, min_score=threshold)
        masks = rle.decode([rows[position]["segmentation"] for position in chosen])
        categories = np.array([rows[position]["category_id"] for position in chosen])
        found = paint(masks, categories, scores[chosen], masks.shape[1:], overlap=overlap)
        np.testing.assert_array_equal(found, maps[f"{name}_{threshold}_{number}"])
        seen.append(number)
    assert sorted(seen) == sorted(expected)


def test_corloc(reference):
    wanted = loaded(reference, "corloc.json")
    found = [np.array(row["pred"], float) for row in wanted["rows"]]
    truth = [np.array(row["gt"], float).reshape(-1, 4) for row in wanted["rows"]]
    assert corloc.hits(found, truth) == [row["hit"] for row in wanted["rows"]]
    assert corloc.corloc(found, truth) == pytest.approx(wanted["corloc_with_empty"], abs=1e-12)
    without = corloc.corloc(found, truth, count_empty=False)
    assert without == pytest.approx(wanted["corloc_without_empty"], abs=1e-12)
    for row, box, objects in zip(wanted["rows"], found, truth, strict=True):
        if len(objects):
            assert boxes.iou(box[None], objects).max() == pytest.approx(row["max_iou"], abs=1e-6)


def test_outlines_of_masks(reference):
    stored = json.loads(
        (reference / "golden" / "proposals" / "polygons.json").read_text(encoding="utf-8")
    )
    equal = 0
    for case in stored["cases"]:
        mask = rle.decode([case["resized_mask"]])[0]
        found = polygons.polygons_from_mask(mask, tolerance_px=stored["tolerance"])
        wanted = case["annotation"]["segmentation"] if case["annotation"] else []
        assert list(map(len, found)) == list(map(len, wanted)), case["name"]
        for ours, theirs in zip(found, wanted, strict=True):
            moved = np.linalg.norm(np.reshape(ours, (-1, 2)) - np.reshape(theirs, (-1, 2)), axis=1)
            equal += int((moved == 0).all())
            # A tie of the thinning, which the original breaks by rounding errors: the other end of a stair's corner.
            assert moved.max() <= np.sqrt(0.5), case["name"]
            assert moved[0] == 0
        if found:
            iou = rle.iou([rle.from_polygons(found, mask.shape)], [case["resized_mask"]])[0, 0]
            assert iou == pytest.approx(case["polygon_iou_with_resized_mask"], abs=2e-3), case[
                "name"
            ]
            assert (
                rle.boxes([case["resized_mask"]])[0, :2].tolist() == case["annotation"]["bbox"][:2]
            )
    assert equal == 11  # of 14; the other three have stairs
