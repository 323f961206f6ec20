"""What bad files of others get: refused by name and count, or told; never fewer masks in silence."""

import copy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.errors import PredictionError, SettingsError
from maskdistill.masks import rle
from maskdistill.runs import record
from tests.made import lines_of
from tests.stages.theirs import imported, refusal, results, saved, warnings_of
from tests.tiny_runs import BY_HAND
from tests.tiny_runs import SMALL_SIZE as SIZE


def test_a_file_of_which_nothing_remains_gives_pictures_without_masks(
    small, scanned, tmp_path
) -> None:
    _, truth = small
    nothing = rle.encode(np.zeros((1, *SIZE), bool))[0]
    empty = {
        **truth,
        "annotations": [{**row, "segmentation": nothing} for row in truth["annotations"]],
    }
    rows = imported(scanned, saved(tmp_path / "empty.json", empty))
    assert all(row["masks"] == [] for row in rows)
    assert any("have no pixel: left out" in what for what in warnings_of(scanned))


def test_a_file_of_crowds_alone_is_refused_or_taken_as_asked_for(small, scanned, tmp_path) -> None:
    _, truth = small
    crowds = {**truth, "annotations": [{**row, "iscrowd": "1"} for row in truth["annotations"]]}
    source = saved(tmp_path / "crowds.json", crowds)
    n = len(truth["annotations"])
    assert f"all {n} masks are crowds" in refusal(scanned, source)
    rows = imported(scanned, source, import_crowds="objects")
    assert sum(len(row["masks"]) for row in rows) == n


def test_boxes_of_imports_are_looked_at_as_those_of_a_truth(small, scanned, tmp_path) -> None:
    _, truth = small
    odd = copy.deepcopy(truth)
    for row in odd["annotations"]:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x, y, x + width, y + height]
    small = copy.deepcopy(truth)
    for row in small["annotations"]:
        row["bbox"] = [value / 100 for value in row["bbox"]]
    assert "fractions of width and height" in refusal(scanned, saved(tmp_path / "f.json", small))
    imported(scanned, saved(tmp_path / "corners.json", odd))
    told = "\n".join(warnings_of(scanned))
    assert "boxes reach beyond their picture, and would not as corners" in told


def test_what_is_odd_is_counted_and_told(small, scanned, tmp_path) -> None:
    _, truth = small
    odd = copy.deepcopy(truth)
    first = odd["annotations"][0]
    gone = odd["images"].pop()  # a picture that the file does not list
    odd["annotations"] = [row for row in odd["annotations"] if row["image_id"] != gone["id"]]
    odd["images"].append({"id": 77, "file_name": "other.png", "width": 5, "height": 5})
    empty = rle.encode(np.zeros((1, *SIZE), bool))[0]
    odd["annotations"] += [
        {**first, "id": 501, "image_id": 77},
        {**first, "id": 502, "iscrowd": 1},
        {**first, "id": 503, "segmentation": empty},
        {**first, "id": first["id"]},
    ]
    rows = imported(scanned, saved(tmp_path / "odd.json", odd))
    told = "\n".join(warnings_of(scanned))
    for what in (
        "1 masks are of images that are none of the run's pictures: left out",
        "1 images of the file are none of the run's pictures",
        "1 masks are crowds: left out",
        "1 masks have no pixel: left out",
        f"1 ids of masks stand more than once, all are kept: {first['id']}",
        "1 masks repeat another one of their picture: all are kept",
        "1 pictures of the run are not in the file: refused",
        "masks have no score: 1 is taken",
    ):
        assert what in told
    path_of = {row["id"]: row["path"] for row in lines_of(scanned / "images.jsonl")}
    (missing,) = [row for row in rows if "refused" in row]
    assert path_of[missing["id"]] == gone["file_name"]
    assert record.read(scanned / "propose" / "stage.json").counts["refused"] == 1


def test_bad_records_are_refused_counted_and_named(small, scanned, tmp_path) -> None:
    _, truth = small
    good = results(truth)[0] | {"image_id": 1}
    small = rle.encode(np.ones((1, 4, 4), bool))[0]
    short = {"size": list(SIZE), "counts": "999999999"}
    bad = [
        {**good, "image_id": 99},
        {**good, "image_id": "x"},
        {**good, "score": float("nan")},
        {**good, "score": 1.5},
        {**good, "score": None},
        {**good, "segmentation": small},
        {**good, "segmentation": short},
        {**good, "segmentation": []},
        {key: value for key, value in good.items() if key != "segmentation"},
        {**good, "bbox": [1, 2, -3, 4]},
    ]
    said = refusal(scanned, saved(tmp_path / "bad.json", [good, *bad]))
    for what in (
        "2 of 11 masks have an image_id that is not listed: 99, x",
        "3 of 11 masks have a score that is no number in [0, 1]: nan, 1.5, None",
        "3 of 11 masks have no mask that can be read: number 7",
        "1 of 11 masks have a mask of another size than its picture: number 6: 4 x 4 px, its picture 56 x 40",
        "1 of 11 masks have a bbox that is not x, y, width, height: number 10",
        "nothing was imported",
    ):
        assert what in said


def test_categories_out_of_range_are_refused_by_detect_and_passed_over_by_propose(
    small, scanned, tmp_path
) -> None:
    _, truth = small
    wrong = copy.deepcopy(truth)
    wrong["annotations"][0]["category_id"] = 99
    source = saved(tmp_path / "wrong.json", wrong)
    imported(scanned, source)
    with pytest.raises(
        PredictionError,
        match=r"1 of \d+ masks have a category_id out of range: 99; its \d categories: 1",
    ):
        api.detect(out=scanned, settings={"detect": {"import_file": str(source)}})
    results_of = [
        {**row, "image_id": 1, "category_id": number}
        for number, row in enumerate(results(truth)[:2], -1)
    ]
    with pytest.raises(PredictionError, match="category_id out of range: -1"):
        api.detect(
            out=scanned, settings={"detect": {"import_file": str(saved(source, results_of))}}
        )
    mixed = [
        results_of[1],
        {key: value for key, value in results_of[1].items() if key != "category_id"},
    ]
    with pytest.raises(PredictionError, match="some of its masks have a category_id, others not"):
        api.detect(out=scanned, settings={"detect": {"import_file": str(saved(source, mixed))}})
    many = [{**results_of[1], "category_id": number} for number in range(255)]
    with pytest.raises(PredictionError, match="has 255 categories, a label map holds 254"):
        api.detect(out=scanned, settings={"detect": {"import_file": str(saved(source, many))}})


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "holds nothing"),
        ("[]", "holds no mask"),
        ('{"images": [], "annotations": []}', "lists no image"),
        ('[{"image_id": 1, "sco', "cut short"),
        ('{"images": [{"id": 1}]}', "image 1 has no file_name"),
        ("[3]", "1 of 1 masks have no fields: number 0"),
        ("nonsense", "wanted a list or an object"),
        ("[{}]", "1 of 1 masks have an image_id that is not listed: None"),
    ],
)
def test_files_of_another_format_empty_or_cut_short_are_refused(
    scanned, tmp_path, text, why
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    assert why in refusal(scanned, path)


def test_images_that_stand_twice_have_another_size_or_are_none_of_the_runs_are_refused(
    small, scanned, tmp_path
) -> None:
    _, truth = small
    path = tmp_path / "file.json"

    def changed(**fields) -> Path:
        other = copy.deepcopy(truth)
        other["images"][1].update(fields)
        return saved(path, other)

    first = truth["images"][0]
    assert f"1 image ids stand more than once: {first['id']}" in refusal(
        scanned, changed(id=first["id"])
    )
    said = refusal(scanned, changed(file_name=first["file_name"]))
    assert f"1 file names stand more than once: {first['file_name']}" in said
    assert "is 41 x 40 there, 56 x 40 here" in refusal(scanned, changed(width=41))
    nobody = copy.deepcopy(truth)
    for number, row in enumerate(nobody["images"]):
        row["file_name"] = f"nobody{number}.png"
    assert "none of its 6 images (nobody0.png" in refusal(scanned, saved(path, nobody))
    some = results(truth)
    del some[0]["score"]
    listed = saved(tmp_path / "truth.json", truth)
    assert "masks have a score, the others not" in refusal(
        scanned, saved(path, some), import_images=str(listed)
    )
    with pytest.raises(PredictionError, match="no such file"):
        imported(scanned, tmp_path / "gone.json")


def test_what_cannot_be_combined_is_refused(small, scanned, tmp_path) -> None:
    pictures, truth = small
    source = saved(tmp_path / "truth.json", truth)
    with pytest.raises(SettingsError, match="lists its images itself"):
        imported(scanned, source, import_images=str(source))
    with pytest.raises(SettingsError, match=r"Give `\w+\.import_file` too"):
        api.propose(out=scanned, settings={"propose": {"import_images": str(source)}})
    with pytest.raises(SettingsError, match="Give `weights: segment=none`"):
        api.detect(
            out=scanned,
            settings={"weights": ["segment=detect"], "detect": {"import_file": str(source)}},
        )
    with pytest.raises(SettingsError, match="is for a run alone"):
        api.masks(pictures=pictures, out=tmp_path / "masks", settings={"import_file": str(source)})


def test_a_picture_turned_by_its_exif_tag_needs_masks_of_the_size_that_is_seen(tmp_path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(pictures / "a.jpg", exif=exif)
    out = tmp_path / "run"
    api.run(pictures=pictures, out=out, settings=BY_HAND, until="scan", quiet=True)
    image = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    source = saved(tmp_path / "theirs.json", {"images": [image], "annotations": [{"image_id": 1}]})
    assert "try `orientation: stored`" in refusal(out, source)
