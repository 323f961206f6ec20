"""propose --import, detect --import: masks of others stand in a run like its own, and what bad files get."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.datasets import synthetic
from maskdistill.errors import PredictionError, SettingsError, StaleError
from maskdistill.masks import polygons, rle
from maskdistill.runs import record
from tests.stages.conftest import QUICK

SIZE = (40, 56)
SETTINGS = {**QUICK, "cluster": {"k": 2}, "weights": ["segment=none", "detect=none"]}
SMALL = {"short_side": 48, "max_side": 64, "train": {"steps": 2, "batch": 2, "warm_up": 1}}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Six drawn pictures and their objects as a COCO dataset: what others may have found."""
    root = tmp_path_factory.mktemp("drawn")
    synthetic.write(root / "pictures", root / "truth.json", n_pictures=6, seed=3, size=SIZE, prefix="p")
    return root / "pictures", json.loads((root / "truth.json").read_text())


@pytest.fixture
def scanned(drawn, tmp_path):
    out = tmp_path / "run"
    api.run(pictures=drawn[0], out=out, settings=SETTINGS, until="scan", quiet=True)
    return out


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def saved(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def results(truth, *, of=lambda row: True) -> list[dict]:
    """The objects as a results list: every mask once, with a score that falls."""
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "segmentation": row["segmentation"],
            "bbox": row["bbox"],
            "score": round(0.99 - 0.01 * number, 2),
        }
        for number, row in enumerate(truth["annotations"])
        if of(row)
    ]


def masks_by_path(truth) -> dict[str, list[str]]:
    names = {row["id"]: row["file_name"] for row in truth["images"]}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for row in truth["annotations"]:
        found[names[row["image_id"]]].append(row["segmentation"]["counts"])
    return found


def imported(out: Path, source: Path, **more) -> list[dict]:
    api.propose(out=out, settings={"propose": {"import_file": str(source), **more}})
    return lines_of(out / "propose" / "proposals.jsonl")


def warnings_of(out: Path) -> list[str]:
    return [row["what"] for row in lines_of(out / "ledger.jsonl") if row["event"] == "warning"]


def refusal(out: Path, source: Path, **more) -> str:
    with pytest.raises(PredictionError) as caught:
        imported(out, source, **more)
    assert str(caught.value).startswith(str(source))
    assert not (out / "propose" / "parts").exists()  # so that the mended file is not another one than was begun with
    return str(caught.value)


def test_a_dataset_becomes_proposals_of_the_pictures_of_its_names(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
    shuffled = copy.deepcopy(truth)
    for row in shuffled["images"]:
        row["id"] = f"image {row['id']}"
        row["file_name"] = f"elsewhere/{row['file_name']}"
    for row in shuffled["annotations"]:
        row["image_id"] = f"image {row['image_id']}"
    shuffled["annotations"].reverse()
    rows = imported(scanned, saved(tmp_path / "theirs.json", shuffled))
    paths = [row["path"] for row in lines_of(scanned / "images.jsonl")]
    wanted = masks_by_path(truth)
    assert [row["id"] for row in rows] == list(range(1, 7))
    for path, row in zip(paths, rows, strict=True):
        assert sorted(mask["rle"]["counts"] for mask in row["masks"]) == sorted(wanted[path])
        for mask in row["masks"]:
            assert mask["box"] == rle.boxes([mask["rle"]])[0].tolist()
            assert mask["area"] == rle.areas([mask["rle"]])[0]
            assert set(mask) == {"rle", "box", "area", "score"}
    entry = record.read(scanned / "propose" / "stage.json")
    assert entry.counts["masks"] == len(truth["annotations"])
    assert record.verify(scanned / "propose", entry) == []
    (event,) = [row for row in lines_of(scanned / "ledger.jsonl") if row["event"] == "imported"]
    assert event["file"] == str(tmp_path / "theirs.json")
    assert len(event["sha256"]) == 64


def test_without_a_list_of_images_the_ids_of_results_are_the_runs_and_with_one_those_of_the_list(
    drawn, scanned, tmp_path
) -> None:
    _, truth = drawn
    ids = {row["path"]: row["id"] for row in lines_of(scanned / "images.jsonl")}
    names = {row["id"]: row["file_name"] for row in truth["images"]}
    ours = [{**row, "image_id": ids[names[row["image_id"]]]} for row in results(truth)]
    plain = imported(scanned, saved(tmp_path / "ours.json", ours))
    far = [{**row, "image_id": row["image_id"] + 1000} for row in results(truth)]
    images = [{**row, "id": row["id"] + 1000} for row in truth["images"]]
    listing = saved(tmp_path / "images.json", {"images": images, "annotations": [], "categories": []})
    with pytest.raises(StaleError, match=r"import\.images: nothing -> "):
        imported(scanned, saved(tmp_path / "far.json", far), import_images=str(listing))
    given = {"propose": {"import_file": str(tmp_path / "far.json"), "import_images": str(listing)}}
    api.propose(out=scanned, settings=given, redo=True)
    assert lines_of(scanned / "propose" / "proposals.jsonl") == plain
    with pytest.raises(PredictionError, match="an image_id that is not listed: 1001"):
        api.propose(out=scanned, settings={"propose": {**given["propose"], "import_images": ""}}, redo=True)


def test_polygons_and_both_kinds_of_run_lengths_are_read_and_the_best_come_first(drawn, scanned, tmp_path) -> None:
    square = np.zeros(SIZE, bool)
    square[10:20, 5:25] = True
    runs = rle.encode(square[None])[0]
    plain, flat = [], square.T.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    plain = np.diff(edges).tolist()
    forms = [runs, {"size": list(SIZE), "counts": plain}, [[5, 10, 25, 10, 25, 20, 5, 20]]]
    found = [
        {"image_id": 2, "category_id": 1, "segmentation": form, "score": score}
        for form, score in zip(forms, (0.25, 0.5, 1), strict=True)
    ]
    rows = imported(scanned, saved(tmp_path / "forms.json", found))
    assert [mask["score"] for mask in rows[1]["masks"]] == [1.0, 0.5, 0.25]
    assert {mask["rle"]["counts"] for mask in rows[1]["masks"]} == {runs["counts"]}
    assert [len(row["masks"]) for row in rows] == [0, 3, 0, 0, 0, 0]


def test_the_folder_that_masks_makes_gives_what_propose_finds(tmp_path) -> None:
    pictures, scanned = tmp_path / "pictures", tmp_path / "run"
    synthetic.write(pictures, tmp_path / "truth.json", n_pictures=3, seed=3, size=(96, 120), prefix="p")
    api.run(pictures=pictures, out=scanned, settings=SETTINGS, until="scan", quiet=True)
    api.masks(pictures=pictures, out=tmp_path / "masks", backbone="handcrafted", quiet=True)
    rows = imported(scanned, tmp_path / "masks")
    other = tmp_path / "own"
    api.run(pictures=pictures, out=other, settings=SETTINGS, until="propose", quiet=True)
    own = lines_of(other / "propose" / "proposals.jsonl")
    assert [row["masks"] for row in rows] == [row["masks"] for row in own]
    assert sum(len(row["masks"]) for row in rows) > 3


def test_files_of_segment_anythings_data_set_are_read(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
    folder = tmp_path / "sa"
    folder.mkdir()
    for image in truth["images"]:
        rows = [
            {"segmentation": row["segmentation"], "predicted_iou": 1.01, "bbox": row["bbox"]}
            for row in truth["annotations"]
            if row["image_id"] == image["id"]
        ]
        about = {"image_id": image["id"], **{key: image[key] for key in ("file_name", "width", "height")}}
        saved(folder / f"{image['id']}.json", {"image": about, "annotations": rows})
    rows = imported(scanned, folder)
    assert sum(len(row["masks"]) for row in rows) == len(truth["annotations"])
    assert {mask["score"] for row in rows for mask in row["masks"]} == {1.0}


def test_the_top_prediction_of_each_picture_is_clustered_and_trained_on(drawn, tmp_path) -> None:
    pictures, truth = drawn
    source = saved(
        tmp_path / "results.json",
        {
            **truth,
            "annotations": [
                {**row, "score": found["score"]}
                for row, found in zip(truth["annotations"], results(truth), strict=True)
            ],
        },
    )
    out = tmp_path / "run"
    settings = {**SETTINGS, "propose": {"backbone": "handcrafted", "import_file": str(source), "import_top": 1}}
    api.run(pictures=pictures, out=out, settings={**settings, "detect": SMALL}, until="detect", quiet=True)
    rows = lines_of(out / "propose" / "proposals.jsonl")
    n_pictures = len({row["image_id"] for row in truth["annotations"]})
    assert sum(len(row["masks"]) for row in rows) == n_pictures < len(truth["annotations"])
    best = {}
    for row in results(truth):
        best.setdefault(row["image_id"], row["score"])
    assert sorted(mask["score"] for row in rows for mask in row["masks"]) == sorted(best.values())
    assert len(lines_of(out / "cluster" / "clusters.jsonl")) == n_pictures
    assert (out / "detect" / "train" / "model.safetensors").exists()
    assert any("not among the best 1 of their picture" in what for what in warnings_of(out))
    assert {row["stage"]: row["state"] for row in api.status(out=out)}["propose"] == "done"


def test_results_become_detections_of_named_clusters_and_the_later_stages_go_on(drawn, tmp_path) -> None:
    pictures, truth = drawn
    truth = copy.deepcopy(truth)
    for row in truth["categories"]:
        row["id"] *= 10
    for row in truth["annotations"]:
        row["category_id"] *= 10
    found = saved(tmp_path / "results.json", results(truth))
    listing = saved(tmp_path / "truth.json", truth)
    out = tmp_path / "run"
    words = ["run", str(pictures), "--out", str(out), "--detect.import", str(found), "--threads", "1", "--quiet"]
    words += ["--detect.import-images", str(listing), "--weights", "segment=none", "--ground-truth", str(listing)]
    words += ["--segment.side", "48", "--segment.train.steps", "2", "--segment.train.batch", "2"]
    words += ["--propose.backbone", "handcrafted", "--evaluate.bootstrap", "5", "--label.overlap", "below"]
    assert cli.main(words) == 0
    assert not (out / "propose").exists()
    names = [row["name"] for row in sorted(truth["categories"], key=lambda row: row["id"])]
    rows = lines_of(out / "detect" / "detections.jsonl")
    clusters = {mask["rle"]["counts"]: mask["cluster"] for row in rows for mask in row["masks"]}
    position = {row["id"]: place for place, row in enumerate(sorted(truth["categories"], key=lambda row: row["id"]))}
    assert clusters == {row["segmentation"]["counts"]: position[row["category_id"]] for row in truth["annotations"]}
    metrics = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    value = {(row["stage"], row["name"]): row["value"] for row in metrics}
    assert value["detect", "AP50"] == value["detect", "box_AP"] == 1.0
    assert value["label", "mIoU"] > 0.9
    assert ("segment", "mIoU") in value
    states = {row["stage"]: row["state"] for row in api.status(out=out)}
    assert [states[name] for name in ("detect", "label", "segment/train", "segment")] == ["done"] * 4
    exported = json.loads(api.export(run=out).read_text())
    assert [row["name"] for row in exported["categories"]] == names
    prediction = api.load(out).predict(pictures / "p0001.png")
    assert (len(prediction.instances), prediction.names) == (0, names)
    assert prediction.label_map.shape == SIZE
    report = (out / "report" / "index.html").read_text()
    assert "Taken from results.json: nothing was computed." in report
    again = {path: path.stat().st_mtime_ns for path in out.rglob("stage.json")}
    assert cli.main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("stage.json")} == again


def test_an_export_comes_back_as_it_went_out(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
    source = saved(tmp_path / "theirs.json", truth)
    given = {"detect": {"import_file": str(source)}}
    api.detect(out=scanned, settings=given)
    first = lines_of(scanned / "detect" / "detections.jsonl")
    path = api.export(run=scanned, out=tmp_path / "export.json")
    api.detect(out=scanned, settings={"detect": {"import_file": str(path)}}, redo=True)
    assert lines_of(scanned / "detect" / "detections.jsonl") == first


def test_results_of_one_kind_or_clustered_again(drawn, tmp_path) -> None:
    pictures, truth = drawn
    source = saved(tmp_path / "theirs.json", truth)
    for choice, k in (("one", 1), ("again", 3)):
        out = tmp_path / choice
        detect = {"import_file": str(source), "import_clusters": choice}
        settings = {**SETTINGS, "detect": detect, "cluster": {"k": 3, "again": choice == "one"}}
        api.run(pictures=pictures, out=out, settings=settings, until="label", quiet=True)
        assert {mask["cluster"] for row in lines_of(out / "detect" / "detections.jsonl") for mask in row["masks"]} == {
            0
        }
        assert (out / "recluster").exists() == (choice == "again")  # whatever cluster.again said
        exported = json.loads(api.export(run=out).read_text())
        assert len(exported["categories"]) == k
        assert len({row["category_id"] for row in exported["annotations"]}) == k


def test_boxes_of_results_are_kept_and_cut_at_the_pictures_edge(drawn, scanned, tmp_path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[10:20, 5:25] = True
    row = {"image_id": 1, "category_id": 0, "segmentation": rle.encode(mask[None])[0], "score": 0.5}
    boxes = [[-3.5, 2.25, 70, 20], [8, 8, 0, 5]]
    found = saved(tmp_path / "boxes.json", [{**row, "bbox": bbox} for bbox in boxes])
    api.detect(out=scanned, settings={"detect": {"import_file": str(found)}})
    (first, *_) = lines_of(scanned / "detect" / "detections.jsonl")
    assert [mask["box"] for mask in first["masks"]] == [[0.0, 2.25, 56.0, 22.25], [5.0, 10.0, 25.0, 20.0]]


def test_what_is_odd_is_counted_and_told(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
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


def test_bad_records_are_refused_counted_and_named(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
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


def test_categories_out_of_range_are_refused_by_detect_and_passed_over_by_propose(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
    wrong = copy.deepcopy(truth)
    wrong["annotations"][0]["category_id"] = 99
    source = saved(tmp_path / "wrong.json", wrong)
    imported(scanned, source)
    with pytest.raises(
        PredictionError, match=r"1 of \d+ masks have a category_id out of range: 99; its \d categories: 1"
    ):
        api.detect(out=scanned, settings={"detect": {"import_file": str(source)}})
    results_of = [{**row, "image_id": 1, "category_id": number} for number, row in enumerate(results(truth)[:2], -1)]
    with pytest.raises(PredictionError, match="category_id out of range: -1"):
        api.detect(out=scanned, settings={"detect": {"import_file": str(saved(source, results_of))}})
    mixed = [results_of[1], {key: value for key, value in results_of[1].items() if key != "category_id"}]
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
        ('{"images": [{"id": 1}]}', "KeyError: 'file_name'"),
        ("[3]", "AttributeError"),
        ("nonsense", "wanted a list or an object"),
        ("[{}]", "KeyError: 'image_id'"),
    ],
)
def test_files_of_another_format_empty_or_cut_short_are_refused(scanned, tmp_path, text, why) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    assert why in refusal(scanned, path)


def test_images_that_stand_twice_have_another_size_or_are_none_of_the_runs_are_refused(
    drawn, scanned, tmp_path
) -> None:
    _, truth = drawn
    path = tmp_path / "file.json"

    def changed(**fields) -> Path:
        other = copy.deepcopy(truth)
        other["images"][1].update(fields)
        return saved(path, other)

    first = truth["images"][0]
    assert f"1 image ids stand more than once: {first['id']}" in refusal(scanned, changed(id=first["id"]))
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
    assert "masks have a score, the others not" in refusal(scanned, saved(path, some), import_images=str(listed))
    with pytest.raises(PredictionError, match="no such file"):
        imported(scanned, tmp_path / "gone.json")


def test_what_cannot_be_combined_is_refused(drawn, scanned, tmp_path) -> None:
    pictures, truth = drawn
    source = saved(tmp_path / "truth.json", truth)
    with pytest.raises(SettingsError, match="lists its images itself"):
        imported(scanned, source, import_images=str(source))
    with pytest.raises(SettingsError, match="Give --import too"):
        api.propose(out=scanned, settings={"propose": {"import_images": str(source)}})
    with pytest.raises(SettingsError, match="Give --weights segment=none"):
        api.detect(out=scanned, settings={"weights": ["segment=detect"], "detect": {"import_file": str(source)}})
    with pytest.raises(SettingsError, match="is for a run alone"):
        api.masks(pictures=pictures, out=tmp_path / "masks", settings={"import_file": str(source)})


def test_another_file_or_none_is_another_run_of_the_stage_and_a_moved_one_is_the_same(drawn, scanned, tmp_path) -> None:
    _, truth = drawn
    source = saved(tmp_path / "theirs.json", truth)
    imported(scanned, source)
    before = (scanned / "propose" / "stage.json").stat().st_mtime_ns
    moved = tmp_path / "moved.json"
    shutil.copy(source, moved)
    imported(scanned, moved)
    assert (scanned / "propose" / "stage.json").stat().st_mtime_ns == before
    less = {**truth, "annotations": truth["annotations"][1:]}
    with pytest.raises(StaleError, match=r"import\.masks: .* -> "):
        imported(scanned, saved(moved, less))
    with pytest.raises(StaleError, match=r"settings\.import: .*-> nothing"):
        api.propose(out=scanned, settings={"propose": {"import_file": ""}})


def test_an_import_that_was_stopped_begins_anew_and_ends_the_same(drawn, scanned, tmp_path, monkeypatch) -> None:
    from maskdistill.stages import imported as stage

    _, truth = drawn
    source = saved(tmp_path / "theirs.json", truth)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_record", stopped)
        with pytest.raises(KeyboardInterrupt):
            imported(scanned, source)
    assert {path.name for path in (scanned / "propose").iterdir()} == {"parts"}
    rows = imported(scanned, source)
    assert sum(len(row["masks"]) for row in rows) == len(truth["annotations"])
    assert not (scanned / "propose" / "parts").exists()


def test_polygons_that_went_out_come_in_as_the_masks_they_draw(drawn, scanned, tmp_path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[8:30, 6:40] = True
    drawn_as = polygons.polygons_from_mask(mask)
    found = [{"image_id": 1, "category_id": 0, "segmentation": drawn_as, "score": 1}]
    rows = imported(scanned, saved(tmp_path / "polygons.json", found))
    assert rle.iou([rows[0]["masks"][0]["rle"]], [rle.encode(mask[None])[0]])[0, 0] > 0.9


def test_a_picture_turned_by_its_exif_tag_needs_masks_of_the_size_that_is_seen(tmp_path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(pictures / "a.jpg", exif=exif)
    out = tmp_path / "run"
    api.run(pictures=pictures, out=out, settings=SETTINGS, until="scan", quiet=True)
    image = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    source = saved(tmp_path / "theirs.json", {"images": [image], "annotations": [{"image_id": 1}]})
    assert "try --orientation stored" in refusal(out, source)
