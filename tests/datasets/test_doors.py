"""Ground truth that says less than it seems, or is written as COCO does not: a number or a word."""

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskdistill import api
from maskdistill.datasets import truth
from maskdistill.datasets.coco import instances_file, results_file
from maskdistill.errors import GroundTruthError, PredictionError

SIZE = (60, 80)  # height, width
BOXES = [(5, 6, 20, 18), (40, 10, 12, 30), (30, 40, 45, 15), (50, 5, 25, 20)]  # x, y, w, h


def outline(box) -> list[list[float]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def dataset() -> dict[str, Any]:
    """Six images of four rectangles each, of two classes."""
    images = [
        {"id": n, "file_name": f"set/{n}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for n in range(1, 7)
    ]
    rows = []
    for image in images:
        for place, (x, y, w, h) in enumerate(BOXES):
            box = (x - image["id"] % 3, y + image["id"] % 2, w, h)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image["id"],
                    "category_id": (3, 70)[place % 2],
                    "iscrowd": 0,
                    "area": float(w * h),
                    "bbox": [float(each) for each in box],
                    "segmentation": [[float(v) for v in outline(box)[0]]],
                }
            )
    names = [{"id": 3, "name": "cat"}, {"id": 70, "name": "dog"}, {"id": 9, "name": "cow"}]
    return {"images": images, "annotations": rows, "categories": names}


def results(known: dict[str, Any]) -> list[dict[str, Any]]:
    """The truth as its own result."""
    keys = ("image_id", "category_id", "bbox", "segmentation")
    return [{key: row[key] for key in keys} | {"score": 0.9} for row in known["annotations"]]


def saved(folder: Path, content: Any, name: str = "truth.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def score(folder: Path, changed: dict[str, Any], **options: Any) -> tuple[dict, str]:
    """Return the numbers of `score`, and its notes, of the whole truth as results of a changed."""
    made = api.score_instances(
        predictions=saved(folder, results(dataset()), "results.json"),
        ground_truth=saved(folder, changed),
        bootstrap=0,
        **options,
    )
    values = {row["name"]: row["value"] for row in made.rows if row["stage"] == "score"}
    return values, "\n".join(made.notes)


def each(change):
    """Return a truth whose annotations were changed, each by its number and record."""

    def changed() -> dict[str, Any]:
        made = dataset()
        for place, row in enumerate(made["annotations"]):
            change(place, row)
        return made

    return changed


def images(change):
    def changed() -> dict[str, Any]:
        made = dataset()
        for row in made["images"]:
            change(row)
        return made

    return changed


def numbered_by_name() -> dict[str, Any]:
    made = dataset()
    for row in made["images"]:
        row["id"] = f"picture-{row['id']}"
    for row in made["annotations"]:
        row["image_id"] = f"picture-{row['image_id']}"
    return made


def without_categories() -> dict[str, Any]:
    made = dataset()
    del made["categories"]
    return made


def pairs(place, row) -> None:
    flat = row["segmentation"][0]
    row["segmentation"] = [[list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]]


def one_of_pairs(place, row) -> None:
    pairs(place, row)
    row["segmentation"] = row["segmentation"][0]


def as_box(place, row) -> None:
    x, y, w, h = row["bbox"]
    row["segmentation"] = [[x, y, x + w, y + h] if place % 2 else [x, y, w, h]]


SAME = {
    "ids as strings": (each(lambda n, row: row.update(image_id=str(row["image_id"]))), ""),
    "ids with zeros before them": (
        each(lambda n, row: row.update(image_id=f"{row['image_id']:012d}")),
        "",
    ),
    "categories by name": (
        each(lambda n, row: row.update(category_id={3: "cat", 70: "dog"}[row["category_id"]])),
        "2 categories are given by name in the annotations: cat, dog",
    ),
    "category ids as strings": (
        each(lambda n, row: row.update(category_id=str(row["category_id"]))),
        "",
    ),
    "no annotation ids": (each(lambda n, row: row.pop("id")), "24 of 24 annotations have no id"),
    "one annotation id": (
        each(lambda n, row: row.update(id=7)),
        "1 annotation ids stand more than once: nothing goes by them here: 7",
    ),
    "iscrowd as words": (each(lambda n, row: row.update(iscrowd=("0", False, None)[n % 3])), ""),
    "no iscrowd, no area": (each(lambda n, row: (row.pop("iscrowd"), row.pop("area"))), ""),
    "sizes as strings": (images(lambda row: row.update(height="60", width=80.0)), ""),
    "no list of categories": (without_categories, "there is no list of categories"),
    "flat polygons": (
        each(lambda n, row: row.update(segmentation=row["segmentation"][0])),
        "24 masks are one flat list of numbers",
    ),
    "polygons of pairs": (each(pairs), "24 masks have polygons of [x, y] pairs"),
    "one polygon of pairs": (each(one_of_pairs), "24 masks have polygons of [x, y] pairs"),
    "strings": (
        each(lambda n, row: row.update(segmentation=[list(map(str, row["segmentation"][0]))])),
        "24 masks have numbers in strings",
    ),
    "pieces of nothing": (
        each(lambda n, row: row["segmentation"].extend([[], [1.0, 2.0]])),
        "24 masks have pieces of fewer than three points",
    ),
    "boxes without an inside": (
        each(lambda n, row: row.update(bbox=[0, 0, 0, 0])),
        "24 of 24 boxes have no inside: those of the masks are taken",
    ),
    "areas of nothing": (
        each(lambda n, row: row.update(area=(-1, "x", 0)[n % 3])),
        "24 of 24 areas are no sizes: they are counted anew",
    ),
    "backslashes": (
        images(lambda row: row.update(file_name=row["file_name"].replace("/", "\\"))),
        "6 file names have backslashes: read as folders",
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_is_clear_is_read_as_it_is_meant_and_what_was_assumed_is_told(tmp_path, kind) -> None:
    change, told = SAME[kind]
    wanted, _ = score(tmp_path, dataset())
    found, notes = score(tmp_path, change())
    assert found == wanted
    assert found["AP50"] == found["box_AP50"] == found["CorLoc"] == 1
    assert told in notes


def test_images_that_go_by_names_are_joined_by_them(tmp_path) -> None:
    made = numbered_by_name()
    by_name = [{**row, "image_id": f"picture-{row['image_id']}"} for row in results(dataset())]
    found = api.score_instances(
        predictions=saved(tmp_path, by_name, "results.json"),
        ground_truth=saved(tmp_path, made),
        bootstrap=0,
    )
    assert {row["value"] for row in found.rows if row["name"] == "AP50"} == {1.0}
    assert list(truth.read(saved(tmp_path, made)).objects) == [f"set/{n}.jpg" for n in range(1, 7)]


@pytest.mark.parametrize("packing", ["bom", "utf-16", "utf-32-be", "gzip"])
def test_other_encodings_of_text_are_the_same_text(tmp_path, packing) -> None:
    text = json.dumps(dataset())
    path = tmp_path / "other.json"
    if packing == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode("utf-8-sig" if packing == "bom" else packing))
    assert (
        instances_file.read(path).objects == instances_file.read(saved(tmp_path, dataset())).objects
    )
    with gzip.open(tmp_path / "results.json.gz", "wt", encoding="utf-8-sig") as file:
        json.dump(results(dataset()), file)
    known = instances_file.read(path)
    found = results_file.read(tmp_path / "results.json.gz", known, same_categories=True)
    assert sum(map(len, found.records.values())) == 24


@pytest.mark.parametrize("value", [1, "1", True, "true"])
def test_crowds_alone_are_refused_and_read_as_objects_where_asked_for(tmp_path, value) -> None:
    made = each(lambda n, row: row.update(iscrowd=value))()
    with pytest.raises(GroundTruthError, match=r"all 24 annotations are crowds .*--crowds objects"):
        score(tmp_path, made)
    found, notes = score(tmp_path, made, crowds="objects")
    assert found == score(tmp_path, dataset())[0]
    assert "24 of 24 annotations are crowds, here objects, as asked for" in notes


NO_MASK = {
    "none": lambda n, row: row.pop("segmentation"),
    "null": lambda n, row: row.update(segmentation=None),
    "an empty list": lambda n, row: row.update(segmentation=[]),
    "an empty polygon": lambda n, row: row.update(segmentation=[[]]),
    "a box": as_box,
}


@pytest.mark.parametrize("kind", NO_MASK)
def test_objects_without_a_mask_count_by_their_box_alone_and_are_told(tmp_path, kind) -> None:
    found, notes = score(tmp_path, each(NO_MASK[kind])())
    assert "AP50" not in found
    assert found["box_AP50"] == found["CorLoc"] == 1
    assert "24 of 24 objects have no mask: box metrics alone count them" in notes
    some = each(lambda n, row: NO_MASK[kind](n, row) if n % 4 == 0 else None)()
    found, notes = score(tmp_path, some)
    # What lies in the box of an object without a mask is neither right nor wrong.
    assert found["AP50"] == found["box_AP50"] == 1
    assert "6 of 24 objects have no mask" in notes
    assert ": 1, 5, 9, 13, 17, ..." in notes


def test_objects_that_stand_twice_count_once_whatever_their_ids(tmp_path) -> None:
    made = dataset()
    made["annotations"] += [{**row, "id": 100 + row["id"]} for row in made["annotations"][:5]]
    found, notes = score(tmp_path, made)
    assert found == score(tmp_path, dataset())[0]
    assert "5 objects stand twice (image, category and shape are the same)" in notes
    made["annotations"][-1]["category_id"] = (
        70 if made["annotations"][-1]["category_id"] == 3 else 3
    )
    assert "4 objects stand twice" in score(tmp_path, made)[1]


def fractions(place, row) -> None:
    x, y, w, h = row["bbox"]
    row["bbox"] = [x / SIZE[1], y / SIZE[0], w / SIZE[1], h / SIZE[0]]
    row["segmentation"] = [
        [value / SIZE[1 - at % 2] for at, value in enumerate(row["segmentation"][0])]
    ]


def fractions_of_polygons(place, row) -> None:
    fractions(place, row)
    del row["bbox"]


@pytest.mark.parametrize(
    "change, said",
    [
        (fractions, "fractions of width and height"),
        (fractions_of_polygons, "fractions of width and height"),
        (lambda n, row: row.update(segmentation=[[1.0, 2.0, 3.0, 4.0, 5.0]]), "5 numbers"),
        (lambda n, row: row.update(segmentation=[[1.0, 2.0, 9.0, 9.0]]), "not its bbox"),
        (lambda n, row: row.update(segmentation=[[1, 2, 3, "x", 5, 6]]), "'x' is no number"),
        (lambda n, row: row.update(segmentation=[[1, 2, None, 4, 5, 6]]), "None is no finite"),
        (lambda n, row: row.update(segmentation="abc"), "neither polygons nor run lengths"),
        (lambda n, row: row.update(bbox=[1, 2, -3, 4]), "wanted x, y, width, height"),
        (lambda n, row: row.update(bbox=[1, 2, 3]), "wanted x, y, width, height"),
        (lambda n, row: row.update(iscrowd="maybe"), "'maybe' is neither 0 nor 1"),
        (lambda n, row: row.update(image_id=None), "None is no id"),
        (lambda n, row: row.update(image_id=99), "has image_id 99, which is not listed"),
        (lambda n, row: row.update(category_id=99), "has category_id 99, which is not listed"),
        (lambda n, row: row.pop("category_id") if n == 5 else None, "annotation 6 has no category"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_file_and_annotation(tmp_path, change, said) -> None:
    with pytest.raises(GroundTruthError, match=said) as raised:
        score(tmp_path, each(change)())
    message = str(raised.value)
    assert message.startswith(str(tmp_path / "truth.json"))
    assert "Error" not in message
    with pytest.raises(GroundTruthError, match=said):
        truth.read(tmp_path / "truth.json")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda row: row.pop("file_name"), "image 1 has no file_name"),
        (lambda row: row.pop("id"), "image number 1 of its list has no id"),
        (lambda row: row.update(height=0), "height 0 and width 80"),
        (lambda row: row.update(height="tall"), "'tall' is no number"),
        (lambda row: (row.pop("height"), row.pop("width")), "no height and width"),
    ],
)
def test_images_that_cannot_be_meant_are_named(tmp_path, change, said) -> None:
    with pytest.raises(GroundTruthError, match=said):
        score(tmp_path, images(change)())


def corners(place, row) -> None:
    x, y, w, h = row["bbox"]
    row["bbox"] = [x, y, x + w, y + h]


def test_boxes_that_cannot_be_are_counted_by_kind(tmp_path) -> None:
    made = each(corners)()
    for row in made["annotations"]:
        del row["segmentation"]
    notes = score(tmp_path, made)[1]
    n = sum(
        row["bbox"][0] + row["bbox"][2] > SIZE[1] + 1
        or row["bbox"][1] + row["bbox"][3] > SIZE[0] + 1
        for row in made["annotations"]
    )
    assert n
    assert f"{n} of 24 boxes reach beyond their picture, and would not as corners" in notes
    odd = dataset()
    for row in odd["annotations"]:
        del row["segmentation"]
    for place, box in enumerate(([90, 3, 5, 5], [-30, -30, 50, 50], [4, 4, 0.5, 9])):
        odd["annotations"][place]["bbox"] = box
    notes = score(tmp_path, odd)[1]
    assert "1 of 24 boxes lie outside their picture: no prediction can meet them: 1" in notes
    assert "1 of 24 boxes reach beyond their picture by more than 1 px: 2" in notes
    assert "1 of 24 boxes have a side below 1 px: 3" in notes


def test_boxes_of_results_are_looked_at_alike(tmp_path) -> None:
    known = instances_file.read(saved(tmp_path, dataset()))
    rows = results(each(corners)())
    found = results_file.read(saved(tmp_path, rows, "r.json"), known, same_categories=True)
    assert any("would not as corners" in note for note in found.notes)
    assert any("overlap the box of their mask by less than half" in note for note in found.notes)
    small = results(each(fractions)())
    for row in small:
        del row["segmentation"]
    with pytest.raises(PredictionError, match="fractions of width and height"):
        results_file.read(saved(tmp_path, small, "r.json"), known, same_categories=True)


def test_objects_of_another_scale_than_their_boxes_or_pictures_are_told(tmp_path) -> None:
    made = each(lambda n, row: row.update(segmentation=[[2 * v for v in row["segmentation"][0]]]))()
    assert "overlap the box of their mask by less than half" in score(tmp_path, made)[1]
    half = each(
        lambda n, row: row.update(
            segmentation=[[v / 2 for v in row["segmentation"][0]]],
            bbox=[v / 2 for v in row["bbox"]],
        )
    )()
    assert "are they of pictures of another scale?" in score(tmp_path, half)[1]
    assert "scale" not in score(tmp_path, dataset())[1]


def test_masks_without_a_pixel_are_told_and_their_boxes_count(tmp_path) -> None:
    nothing = {"size": list(SIZE), "counts": [SIZE[0] * SIZE[1]]}
    made = each(lambda n, row: row.update(segmentation=nothing) if n < 3 else None)()
    found, notes = score(tmp_path, made)
    assert (
        "3 of 24 annotations have a mask without a pixel, which is taken for none: 1, 2, 3" in notes
    )
    assert "3 of 24 objects have no mask" in notes
    assert found["AP50"] == found["box_AP50"] == 1


def test_sizes_that_a_file_lacks_are_those_of_the_pictures(tmp_path) -> None:
    made = images(lambda row: (row.pop("height"), row.update(width=None)))()
    pictures = {f"set/{n}.jpg": SIZE for n in range(1, 7)}
    found = truth.read(saved(tmp_path, made), pictures=pictures)
    assert found.objects == truth.read(saved(tmp_path, dataset())).objects
    of_one = truth.read(saved(tmp_path, made), pictures={"elsewhere/2.jpg": SIZE})
    assert list(of_one.objects) == ["set/2.jpg"]
    assert len(of_one.keys) == 6


def test_files_of_one_list_of_categories_agree_whatever_they_hold(tmp_path) -> None:
    first, second = dataset(), dataset()
    first["annotations"] = [row for row in first["annotations"] if row["category_id"] == 70]
    sources = [
        truth.read(saved(tmp_path, each_, f"{n}.json")) for n, each_ in enumerate((first, second))
    ]
    names, (one, two) = truth.of_one_list(sources)
    assert names == ["cat", "dog"]  # no cow in either
    assert {row["category"] for found in one.objects.values() for row in found.records} == {2}
    assert {row["category"] for found in two.objects.values() for row in found.records} == {1, 2}
    assert truth.of_one_list(sources[:1])[0] == ["dog"]
    other = copy.deepcopy(second)
    other["categories"][0]["name"] = "bird"
    with pytest.raises(GroundTruthError, match="names other classes than another ground truth"):
        truth.of_one_list([*sources, truth.read(saved(tmp_path, other, "o.json"))])


def test_the_label_map_of_objects_without_a_mask_is_void_in_their_boxes(tmp_path) -> None:
    made = dataset()
    del made["annotations"][0]["segmentation"]
    path = saved(tmp_path, made)
    label_map = truth.read(path).label_map("set/1.jpg")
    x, y, w, h = (int(value) for value in made["annotations"][0]["bbox"])
    assert (label_map[y : y + h, x : x + w] == 255).all()
    assert (label_map == 255).sum() == w * h
    boxes_alone = each(lambda n, row: row.pop("segmentation"))()
    known = truth.read(saved(tmp_path, boxes_alone))
    assert not known.has_masks
    assert (known.label_map("set/1.jpg") == 255).all()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 90) | st.floats(-100, 100) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
places = st.sampled_from(
    [("annotations", key) for key in (*dataset()["annotations"][0], "row")]
    + [("images", key) for key in (*dataset()["images"][0], "ignored", "row")]
    + [("categories", key) for key in ("id", "name", "row")]
    + [("file", key) for key in ("images", "annotations", "categories")]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(places, st.integers(0, 30), json_values), min_size=1, max_size=3))
def test_whatever_a_field_holds_there_is_a_number_or_our_own_error(tmp_path, changes) -> None:
    made, rows = dataset(), results(dataset())
    for (where, key), place, value in changes:
        if where == "file":
            made[key] = value
            continue
        records = made[where]
        if not isinstance(records, list) or not records:
            continue
        place %= len(records)
        if key == "row":
            records[place] = value
        elif isinstance(records[place], dict):
            records[place][key] = value
        if where == "annotations" and key in rows[place % len(rows)]:
            rows[place % len(rows)][key] = value
    path = saved(tmp_path, made)
    ended = []
    for read in (instances_file.read, truth.read):
        try:
            read(path)
            ended.append("read")
        except GroundTruthError as error:
            ended.append(str(error))
    assert ended[0] == ended[1]  # one reader: no two judgements
    assert "Error" not in ended[0]
    known = instances_file.read(saved(tmp_path, dataset(), "known.json"))
    said = ""
    try:
        results_file.read(saved(tmp_path, rows, "r.json"), known, same_categories=True)
    except PredictionError as error:
        said = str(error)
    assert "Error" not in said


def test_every_kind_is_told_beside_the_numbers_of_a_run(small, scanned, tmp_path) -> None:
    _, known = small
    api.propose(out=scanned)
    plain = saved(tmp_path, known)

    def measured(path: Path, **own: Any) -> tuple[dict, list[str]]:
        api.evaluate(out=scanned, settings={"ground_truth": [str(path)], **own})
        written = json.loads((scanned / "evaluate" / "metrics.json").read_text())
        table = (scanned / "evaluate" / "metrics.md").read_text()
        assert all(sentence in table for sentence in written["truth"])
        rows = {
            (row["stage"], row["name"], row["split"]): row["value"] for row in written["metrics"]
        }
        return rows, written["truth"]

    wanted, told = measured(plain)
    n = len(known["images"])
    assert told == [f"{n} of {n} pictures of train, 0.0 % of their pixels void"]
    boxes = copy.deepcopy(known)
    for row in boxes["annotations"]:
        del row["segmentation"]
    found, told = measured(saved(tmp_path, boxes, "boxes.json"))
    place = ("propose", "CorLoc", "train")
    assert found[place] == wanted[place]
    assert ("propose", "mean_best_iou", "train") not in found
    assert ("baseline:background", "mIoU", "train") not in found
    assert any("objects have no mask: box metrics alone count them" in each_ for each_ in told)
    part = copy.deepcopy(known)
    part["images"] = part["images"][:2]
    ids = {row["id"] for row in part["images"]}
    part["annotations"] = [row for row in part["annotations"] if row["image_id"] in ids]
    _, told = measured(saved(tmp_path, part, "part.json"))
    assert told[0].startswith(f"2 of {n} pictures of train")
    assert told[1].startswith(f"{n - 2} pictures have none: ")
    crowds = copy.deepcopy(known)
    for row in crowds["annotations"]:
        row["iscrowd"] = 1
    with pytest.raises(GroundTruthError, match="are crowds"):
        measured(saved(tmp_path, crowds, "crowds.json"))
    found, _ = measured(tmp_path / "crowds.json", evaluate={"crowds": "objects"})
    assert found == wanted
    void = copy.deepcopy(known)
    for row in void["annotations"][:-1]:
        row["iscrowd"] = 1
    _, told = measured(saved(tmp_path, void, "void.json"), evaluate={"crowds": "ignored"})
    assert "void" in told[0]
    assert "0.0 %" not in told[0]
    assert np.isfinite(found[place])
