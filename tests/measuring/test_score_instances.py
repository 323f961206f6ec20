"""score instances: COCO's numbers of anybody's files, and what bad files get."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api, cli
from maskdistill.datasets.coco import instances_file
from maskdistill.errors import GroundTruthError, PredictionError, SettingsError
from maskdistill.evaluation import instances
from maskdistill.masks import rle
from tests.evaluation.test_instances import SIZE, drawn, judged

CATEGORIES = (1, 2, 3)


def xywh(row) -> list[float]:
    x1, y1, x2, y2 = map(float, row["box"])
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.fixture
def files(rng):
    """Truth and results as COCO's files have them, and as records."""
    truth, results = drawn(rng)
    dataset = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in truth
        ],
        "annotations": [],
        "categories": [{"id": number, "name": f"class {number}"} for number in CATEGORIES],
    }
    for number, rows in truth.items():
        for row in rows:
            base = {
                "id": len(dataset["annotations"]) + 1,
                "image_id": number,
                "category_id": row["category"],
            }
            area = int(rle.areas([row["rle"]])[0])
            dataset["annotations"].append(
                base
                | {
                    "segmentation": row["rle"],
                    "bbox": xywh(row),
                    "area": area,
                    "iscrowd": int(row["crowd"]),
                }
            )
    found = [
        {
            "image_id": number,
            "category_id": row["category"],
            "segmentation": row["rle"],
            "bbox": xywh(row),
        }
        | {"score": row["score"]}
        for number, rows in results.items()
        for row in rows
    ]
    return dataset, found, truth, results


def written(folder: Path, dataset, found) -> dict[str, Path]:
    paths = {"predictions": folder / "results.json", "ground_truth": folder / "instances.json"}
    paths["predictions"].write_text(json.dumps(found))
    paths["ground_truth"].write_text(json.dumps(dataset))
    return paths


def values(score, stage: str = "score") -> dict[str, float]:
    return {row["name"]: row["value"] for row in score.rows if row["stage"] == stage}


def test_all_twelve_numbers_by_mask_and_box_with_classes_and_without_are_pycocotools(
    files, tmp_path
) -> None:
    dataset, found, truth, results = files
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=20)
    ours = values(score)
    for iou_type, prefix in (("segm", ""), ("bbox", "box_")):
        for agnostic, suffix in ((False, ""), (True, "_agnostic")):
            wanted = judged(truth, results, iou_type, agnostic)
            for name, value in zip(instances.NAMES, wanted, strict=True):
                shown = ours[f"{prefix}{name}{suffix}"]
                assert (np.nan if shown is None else shown) == pytest.approx(
                    value, abs=1e-12, nan_ok=True
                ), name
            single = instances.average_precision(
                *instances.most_confident(truth, results),
                iou_type=iou_type,
                class_agnostic=agnostic,
            )
            assert ours[f"{prefix}AP50{suffix}_single"] == single["AP50"]
    assert "AP50_agnostic" in values(score, "baseline:whole")
    for row in score.rows:
        assert row["pictures"] == 6
        if row["interval"] is not None:
            assert row["interval"][0] <= row["interval"][1]
    assert sum(row["interval"] is not None for row in score.rows) > 20


def test_results_without_boxes_have_the_sizes_of_their_masks(files, tmp_path) -> None:
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dataset, found, _, _ = files
    ring = np.ones((1, *SIZE), bool)
    ring[0, 2:-2, 2:-2] = False  # small as a mask, large as a box
    found = [{key: value for key, value in row.items() if key != "bbox"} for row in found]
    found.append(
        {"image_id": 1, "category_id": 1, "segmentation": rle.encode(ring)[0], "score": 0.99}
    )
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert (
        "the results have no boxes: they are made from the masks, sizes are those of the masks"
        in score.notes
    )
    ours = values(score)
    for iou_type, prefix in (("segm", ""), ("bbox", "box_")):
        with contextlib.redirect_stdout(io.StringIO()):
            judge = COCO()
            judge.dataset = copy.deepcopy({"info": {}, **dataset})
            judge.createIndex()
            evaluation = COCOeval(judge, judge.loadRes(copy.deepcopy(found)), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        for name, value in zip(instances.NAMES, evaluation.stats, strict=True):
            if value >= 0:
                assert ours[f"{prefix}{name}"] == pytest.approx(value, abs=1e-12), (prefix, name)


def test_boxes_alone_are_compared_by_box(files, tmp_path) -> None:
    dataset, found, _, _ = files
    whole = values(api.score_instances(**written(tmp_path, dataset, found), bootstrap=0))
    for row in found:
        del row["segmentation"]
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert "the results have no masks: compared by box alone" in score.notes
    assert set(values(score)) == {
        name for name in whole if name.startswith("box_") or name == "CorLoc"
    }
    assert values(score)["box_AP50"] == whole["box_AP50"]
    with pytest.raises(SettingsError, match="overlap needs masks in both files"):
        api.score_instances(**written(tmp_path, dataset, found), matching="overlap")


@pytest.mark.parametrize("rule", ["overlap", "release"])
def test_clusters_are_named_by_votes(files, tmp_path, rule) -> None:
    dataset, _, _, _ = files
    renamed = {1: 5, 2: 0, 3: 2}
    found = [
        {"image_id": row["image_id"], "category_id": renamed[row["category_id"]], "score": 1.0}
        | {"segmentation": row["segmentation"], "bbox": row["bbox"]}
        for row in dataset["annotations"]
        if not row["iscrowd"]
    ]
    score = api.score_instances(**written(tmp_path, dataset, found), matching=rule, bootstrap=0)
    assert values(score)["AP"] == pytest.approx(1)
    with pytest.raises(
        PredictionError, match=r"have a category_id which instances.json does not have.*: "
    ):
        api.score_instances(**written(tmp_path, dataset, found))


def test_corloc_is_that_of_the_best_result_of_each_picture_with_objects(files, tmp_path) -> None:
    from maskdistill.evaluation import corloc

    dataset, found, truth, results = files
    lone = min(number for number, rows in truth.items() if rows)
    dataset["annotations"] = [row for row in dataset["annotations"] if row["image_id"] != lone]
    # One object that the baseline finds, which takes the whole picture for one.
    wide = max(number for number, rows in truth.items() if rows)
    shape = np.ones((1, *SIZE), bool)
    shape[:, 40:] = False
    large = {
        "rle": rle.encode(shape)[0],
        "box": [0, 0, SIZE[1], 40],
        "category": CATEGORIES[0],
        "crowd": False,
    }
    truth = {**truth, wide: [*truth[wide], large]}
    row = {
        "id": 901,
        "image_id": wide,
        "category_id": CATEGORIES[0],
        "segmentation": large["rle"],
        "iscrowd": 0,
    }
    dataset["annotations"].append({**row, "bbox": xywh(large), "area": 40 * SIZE[1]})
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=20)
    best = [
        max(rows, key=lambda row: row["score"])["box"] if rows else None
        for rows in results.values()
    ]
    boxes = [
        np.array(
            [row["box"] for row in rows if not row["crowd"] and number != lone], float
        ).reshape(-1, 4)
        for number, rows in truth.items()
    ]
    wanted = corloc.corloc(best, boxes, count_empty=False)
    assert values(score)["CorLoc"] == pytest.approx(wanted, abs=1e-12)
    assert wanted != corloc.corloc(best, boxes, count_empty=True)
    (row,) = [row for row in score.rows if row["name"] == "CorLoc" and row["stage"] == "score"]
    assert row["interval"][0] <= wanted <= row["interval"][1]
    whole = [np.array([0, 0, SIZE[1], SIZE[0]], float)] * len(boxes)
    of_whole = corloc.corloc(whole, boxes, count_empty=False)
    assert of_whole > 0
    assert values(score, "baseline:whole")["CorLoc"] == pytest.approx(of_whole, abs=1e-12)


def test_a_dataset_of_results_is_joined_by_file_name_whatever_its_ids(files, tmp_path) -> None:
    dataset, found, _, _ = files
    wanted = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    other = {
        row["id"]: 100 - row["id"] if row["id"] % 2 else row["id"] % 6 + 1
        for row in dataset["images"]
    }
    images = [
        {"id": other[row["id"]], "file_name": f"photos/{row['file_name']}"}
        for row in dataset["images"]
    ]
    rows = [{**row, "image_id": other[row["image_id"]]} for row in found]
    paths = written(tmp_path, dataset, {"images": images, "annotations": rows})
    assert values(api.score_instances(**paths, bootstrap=0)) == values(wanted)
    # Names that nobody knows: the ids count, as in a list.
    strange = [{"id": row["id"], "file_name": f"x{row['id']}.png"} for row in dataset["images"]]
    paths = written(tmp_path, dataset, {"images": strange, "annotations": found})
    assert values(api.score_instances(**paths, bootstrap=0)) == values(wanted)
    images.append({"id": 1000, "file_name": "elsewhere.jpg"})
    paths = written(
        tmp_path, dataset, {"images": images, "annotations": [*rows, {**rows[0], "image_id": 1000}]}
    )
    with pytest.raises(
        PredictionError,
        match=r"results of 1 images that instances\.json does not have: elsewhere\.jpg",
    ):
        api.score_instances(**paths)
    (tmp_path / "list.txt").write_text("\n".join(row["file_name"] for row in dataset["images"]))
    some = api.score_instances(**paths, bootstrap=0, only=tmp_path / "list.txt")
    assert values(some) == values(wanted)
    told = f"1 of {len(rows) + 1} results are of images that were not chosen, and not counted"
    assert told in some.notes


def test_images_without_a_prediction_are_told(files, tmp_path) -> None:
    dataset, found, _, _ = files
    found = [row for row in found if row["image_id"] not in (2, 4)]
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert any(
        note.startswith("2 of 6 images have no prediction") and "2.jpg, 4.jpg" in note
        for note in score.notes
    )
    assert score.rows[0]["pictures"] == 6


@pytest.mark.parametrize(
    "change, said",
    [
        (
            {"image_id": 77},
            r"2 of \d+ results have an image_id which instances.json does not have: 77",
        ),
        (
            {"category_id": 9},
            r"2 of \d+ results have a category_id which .* \(its 3 ids: 1, 2, 3\): 9",
        ),
        ({"score": float("nan")}, r"2 of \d+ results have a score which is no number: nan"),
        ({"score": None}, r"2 of \d+ results have a score which is no number: None"),
        ({"segmentation": None}, r"results have segmentation, the others not"),
        (
            {"segmentation": {"size": [140, 60], "counts": [8400]}},
            "result 0 has a mask of 60 x 140 px, its image 1.jpg is 140 x 60",
        ),
        (
            {"segmentation": {"size": [60, 140], "counts": [-2, 8402]}},
            "result 0 holds no mask that can be read",
        ),
        ({"bbox": [1, 2, -3, 4]}, r"bbox \[1, 2, -3, 4\]: wanted x, y, width, height"),
    ],
)
def test_results_that_do_not_fit_are_refused_and_counted(files, tmp_path, change, said) -> None:
    dataset, found, _, _ = files
    found = [row for row in found if row["image_id"] == 1] + found
    for row in found[:2]:
        row["image_id"] = 1
    found = [found[0] | change, found[1] | change, *found[2:]]
    with pytest.raises(PredictionError, match=said):
        api.score_instances(**written(tmp_path, dataset, found))


@pytest.mark.parametrize(
    "text, said",
    [
        ("[]", "holds no result"),
        ("{}", "not a list of results"),
        ("[{}]", "not a list of results"),
        ("[{", "cut short"),
        ("[3]", "not a list of results"),
    ],
)
def test_a_file_without_results_is_refused(files, tmp_path, text, said) -> None:
    paths = written(tmp_path, files[0], [])
    paths["predictions"].write_text(text)
    with pytest.raises(PredictionError, match=said):
        api.score_instances(**paths)
    paths["predictions"].unlink()
    with pytest.raises(PredictionError, match="no such file"):
        api.score_instances(**paths)


def test_duplicates_among_results_are_told_and_cost(files, tmp_path) -> None:
    dataset, found, _, _ = files
    found = [row | {"id": 5} for row in found]
    before = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert "1 ids of results stand more than once (all are counted): 5" in before.notes
    after = api.score_instances(**written(tmp_path, dataset, found + found), bootstrap=0)
    assert (
        f"{len(found)} results repeat another one in all but id: each counts as a false one"
        in after.notes
    )
    assert values(after)["AP"] < values(before)["AP"]


@pytest.mark.parametrize("what", ["images", "annotations", "categories"])
def test_what_stands_twice_in_the_truth_counts_once_and_is_told(files, tmp_path, what) -> None:
    dataset, found, _, _ = files
    before = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    dataset[what].append(dataset[what][0])
    after = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert values(after) == values(before)
    told = {
        "images": f"1 images stand twice in the list: taken once: {dataset[what][0]['file_name']}"
        if what == "images"
        else "",
        "annotations": "1 objects stand twice (image, category and shape are the same)",
        "categories": "",
    }[what]
    assert any(told in note for note in after.notes)


@pytest.mark.parametrize(
    "what, change, said",
    [
        ("images", {"file_name": "other.jpg"}, "1 image ids stand more than once: "),
        ("categories", {"name": "other"}, r"category id \d+ stands twice, as .+ and other"),
    ],
)
def test_two_things_of_one_id_are_refused(files, tmp_path, what, change, said) -> None:
    dataset, found, _, _ = files
    dataset[what].append({**dataset[what][0], **change})
    with pytest.raises(GroundTruthError, match=said):
        api.score_instances(**written(tmp_path, dataset, found))


def test_two_objects_of_one_id_both_count_and_are_told(files, tmp_path) -> None:
    dataset, found, _, _ = files
    before = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    dataset["annotations"][1]["id"] = dataset["annotations"][0]["id"]
    after = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert values(after) == values(before)
    told = "1 annotation ids stand more than once: nothing goes by them here"
    assert any(told in note for note in after.notes)


@pytest.mark.parametrize(
    "change, said",
    [({"image_id": 77}, "has image_id 77"), ({"category_id": 9}, "has category_id 9")],
)
def test_annotations_that_point_to_nothing_are_refused(files, tmp_path, change, said) -> None:
    dataset, found, _, _ = files
    dataset["annotations"][0] |= change
    with pytest.raises(GroundTruthError, match=said):
        api.score_instances(**written(tmp_path, dataset, found))


def test_an_object_of_id_0_counts_and_is_told(files, tmp_path) -> None:
    dataset, found, _, _ = files
    before = values(api.score_instances(**written(tmp_path, dataset, found), bootstrap=0))
    for row in dataset["annotations"]:
        row["id"] -= 1
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    assert any("object of id 0" in note for note in score.notes)
    assert values(score) == before


def test_annotations_without_mask_and_box_are_told_and_left_out(files, tmp_path) -> None:
    dataset, found, _, _ = files
    empty = dataset["annotations"][0] | {"id": 99, "segmentation": [], "bbox": []}
    before = values(api.score_instances(**written(tmp_path, dataset, found), bootstrap=0))
    dataset["annotations"].append(empty)
    score = api.score_instances(**written(tmp_path, dataset, found), bootstrap=0)
    told = f"1 of {len(dataset['annotations'])} annotations have neither mask nor box: left out: 99"
    assert told in score.notes
    assert values(score) == before


def test_the_command_writes_the_table(files, tmp_path, capsys) -> None:
    paths = written(tmp_path, *files[:2])
    words = [
        "--predictions",
        str(paths["predictions"]),
        "--ground-truth",
        str(paths["ground_truth"]),
    ]
    out = tmp_path / "score.md"
    assert cli.main(["score", "instances", *words, "--bootstrap", "10", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "| AP50_agnostic_single " in said
    assert said == out.read_text() + f"{out}\n"


def test_a_list_of_names_keeps_its_images_alone(files, tmp_path) -> None:
    dataset, _, _, _ = files
    truth = instances_file.read(written(tmp_path, dataset, [])["ground_truth"])
    kept = instances_file.only(truth, ["train2014/3.jpg", "1.jpg"])
    assert list(kept.objects) == [1, 3]
    assert kept.objects[3] == truth.objects[3]
    for names, said in (
        (["7.jpg", "1.jpg"], "1 of 2 names of the list are no image of it, or of several: 7.jpg"),
        (["1.jpg"] * 2, "stand twice"),
    ):
        with pytest.raises(GroundTruthError, match=said):
            instances_file.only(truth, names)


def test_a_list_scores_its_images_alone_and_tells_of_the_others(files, tmp_path) -> None:
    dataset, found, truth, results = files
    (tmp_path / "names.txt").write_text("1.jpg\n3.jpg\n5.jpg\n")
    score = api.score_instances(
        **written(tmp_path, dataset, found), only=tmp_path / "names.txt", bootstrap=0
    )
    kept = (1, 3, 5)
    wanted = instances.average_precision(
        {n: truth[n] for n in kept}, {n: results[n] for n in kept}, class_agnostic=True
    )
    assert values(score)["AP_agnostic"] == pytest.approx(wanted["AP"], abs=1e-12)
    assert score.rows[0]["pictures"] == 3
    n_others = sum(row["image_id"] not in kept for row in found)
    assert (
        f"{n_others} of {len(found)} results are of images that were not chosen, and not counted"
        in score.notes
    )


@pytest.mark.parametrize("rule", ["none", "overlap", "release"])
def test_ids_are_names_however_large_and_whatever_is_missing_between_them(
    files, tmp_path, rule
) -> None:
    def scored(number_of: dict[int, int], first_image: int) -> dict[str, float]:
        dataset, found, _, _ = copy.deepcopy(files)
        for row in dataset["images"]:
            row["id"] += first_image
        for row in [*dataset["annotations"], *found]:
            row["category_id"] = number_of[row["category_id"]]
            row["image_id"] += first_image
        for row in dataset["categories"]:
            row["id"] = number_of[row["id"]]
        paths = written(tmp_path, dataset, found)
        return values(api.score_instances(**paths, matching=rule, bootstrap=0))

    large = scored({1: 0, 2: 7, 3: 10**9}, first_image=10**9)
    assert large == scored({1: 0, 2: 1, 3: 2}, first_image=0)
