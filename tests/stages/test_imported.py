"""propose --import, detect --import: masks of others stand in a run like its own."""

import copy
import json
import shutil

import numpy as np
import pytest

from maskdistill import api, cli
from maskdistill.errors import PredictionError, SettingsError, StaleError
from maskdistill.masks import polygons, rle
from maskdistill.runs import record
from maskdistill.workflows import demo_pictures
from tests.made import lines_of
from tests.stages.theirs import imported, masks_by_path, results, saved, warnings_of
from tests.tiny_runs import BY_HAND
from tests.tiny_runs import SMALL_SIZE as SIZE

FEW_STEPS = {"short_side": 48, "max_side": 64, "train": {"steps": 2, "batch": 2, "warm_up": 1}}


def test_a_dataset_becomes_proposals_of_the_pictures_of_its_names(small, scanned, tmp_path) -> None:
    _, truth = small
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
    small, scanned, tmp_path
) -> None:
    _, truth = small
    ids = {row["path"]: row["id"] for row in lines_of(scanned / "images.jsonl")}
    names = {row["id"]: row["file_name"] for row in truth["images"]}
    ours = [{**row, "image_id": ids[names[row["image_id"]]]} for row in results(truth)]
    plain = imported(scanned, saved(tmp_path / "ours.json", ours))
    far = [{**row, "image_id": row["image_id"] + 1000} for row in results(truth)]
    images = [{**row, "id": row["id"] + 1000} for row in truth["images"]]
    listing = saved(
        tmp_path / "images.json", {"images": images, "annotations": [], "categories": []}
    )
    with pytest.raises(StaleError, match=r"import\.images: nothing -> "):
        imported(scanned, saved(tmp_path / "far.json", far), import_images=str(listing))
    given = {"propose": {"import_file": str(tmp_path / "far.json"), "import_images": str(listing)}}
    api.propose(out=scanned, settings=given, redo=True)
    assert lines_of(scanned / "propose" / "proposals.jsonl") == plain
    with pytest.raises(PredictionError, match="an image_id that is not listed: 1001"):
        api.propose(
            out=scanned, settings={"propose": {**given["propose"], "import_images": ""}}, redo=True
        )


def test_polygons_and_both_kinds_of_run_lengths_are_read_and_the_best_come_first(
    small, scanned, tmp_path
) -> None:
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
    demo_pictures.write(
        pictures, tmp_path / "truth.json", n_pictures=3, seed=3, size=(96, 120), prefix="p"
    )
    api.run(pictures=pictures, out=scanned, settings=BY_HAND, until="scan", quiet=True)
    api.masks(pictures=pictures, out=tmp_path / "masks", backbone="handcrafted", quiet=True)
    rows = imported(scanned, tmp_path / "masks")
    other = tmp_path / "own"
    api.run(pictures=pictures, out=other, settings=BY_HAND, until="propose", quiet=True)
    own = lines_of(other / "propose" / "proposals.jsonl")
    assert [row["masks"] for row in rows] == [row["masks"] for row in own]
    assert sum(len(row["masks"]) for row in rows) > 3


def test_files_of_segment_anythings_data_set_are_read(small, scanned, tmp_path) -> None:
    _, truth = small
    folder = tmp_path / "sa"
    folder.mkdir()
    for image in truth["images"]:
        rows = [
            {"segmentation": row["segmentation"], "predicted_iou": 1.01, "bbox": row["bbox"]}
            for row in truth["annotations"]
            if row["image_id"] == image["id"]
        ]
        about = {
            "image_id": image["id"],
            **{key: image[key] for key in ("file_name", "width", "height")},
        }
        saved(folder / f"{image['id']}.json", {"image": about, "annotations": rows})
    rows = imported(scanned, folder)
    assert sum(len(row["masks"]) for row in rows) == len(truth["annotations"])
    assert {mask["score"] for row in rows for mask in row["masks"]} == {1.0}


def test_the_top_prediction_of_each_picture_is_clustered_and_trained_on(small, tmp_path) -> None:
    pictures, truth = small
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
    settings = {
        **BY_HAND,
        "propose": {"backbone": "handcrafted", "import_file": str(source), "import_top": 1},
    }
    api.run(
        pictures=pictures,
        out=out,
        settings={**settings, "detect": FEW_STEPS},
        until="detect",
        quiet=True,
    )
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


def test_results_become_detections_of_named_clusters_and_the_later_stages_go_on(
    small, tmp_path
) -> None:
    pictures, truth = small
    truth = copy.deepcopy(truth)
    for row in truth["categories"]:
        row["id"] *= 10
    for row in truth["annotations"]:
        row["category_id"] *= 10
    found = saved(tmp_path / "results.json", results(truth))
    listing = saved(tmp_path / "truth.json", truth)
    out = tmp_path / "run"
    words = [
        "run",
        str(pictures),
        "--out",
        str(out),
        "--detect.import",
        str(found),
        "--threads",
        "1",
        "--quiet",
    ]
    words += [
        "--detect.import-images",
        str(listing),
        "--weights",
        "segment=none",
        "--ground-truth",
        str(listing),
    ]
    words += ["--segment.side", "48", "--segment.train.steps", "2", "--segment.train.batch", "2"]
    words += [
        "--propose.backbone",
        "handcrafted",
        "--evaluate.bootstrap",
        "5",
        "--label.overlap",
        "below",
    ]
    assert cli.main(words) == 0
    assert not (out / "propose").exists()
    names = [row["name"] for row in sorted(truth["categories"], key=lambda row: row["id"])]
    rows = lines_of(out / "detect" / "detections.jsonl")
    clusters = {mask["rle"]["counts"]: mask["cluster"] for row in rows for mask in row["masks"]}
    position = {
        row["id"]: place
        for place, row in enumerate(sorted(truth["categories"], key=lambda row: row["id"]))
    }
    assert clusters == {
        row["segmentation"]["counts"]: position[row["category_id"]] for row in truth["annotations"]
    }
    written = json.loads((out / "evaluate" / "metrics.json").read_text())
    metrics, weights = written["metrics"], {row["stage"]: row for row in written["weights"]}
    assert weights["detect"]["weights"] == "imported: results.json"
    assert weights["detect"]["licence"].startswith("unknown")
    value = {(row["stage"], row["name"]): row["value"] for row in metrics}
    assert value["detect", "AP50"] == value["detect", "box_AP"] == 1.0
    assert value["label", "mIoU"] > 0.9
    assert ("segment", "mIoU") in value
    states = {row["stage"]: row["state"] for row in api.status(out=out)}
    assert [states[name] for name in ("detect", "label", "segment/train", "segment")] == [
        "done"
    ] * 4
    exported = json.loads(api.export(run=out).read_text())
    assert [row["name"] for row in exported["categories"]] == names
    prediction = api.load(out).predict(pictures / "p0001.png")
    assert (len(prediction.instances), prediction.names) == (0, names)
    assert prediction.label_map.shape == SIZE
    report = (out / "report" / "index.html").read_text()
    assert "Taken from results.json: nothing was computed." in report

    def times() -> dict[str, int]:
        found = {path.parent.name: path.stat().st_mtime_ns for path in out.rglob("stage.json")}
        return {name: time for name, time in found.items() if name not in ("evaluate", "report")}

    again = times()
    assert len(again) > 3
    assert cli.main(words) == 0
    assert times() == again  # all but what is done each time


def test_an_export_comes_back_as_it_went_out(small, scanned, tmp_path) -> None:
    _, truth = small
    source = saved(tmp_path / "theirs.json", truth)
    given = {"detect": {"import_file": str(source)}}
    api.detect(out=scanned, settings=given)
    first = lines_of(scanned / "detect" / "detections.jsonl")
    path = api.export(run=scanned, out=tmp_path / "export.json")
    api.detect(out=scanned, settings={"detect": {"import_file": str(path)}}, redo=True)
    assert lines_of(scanned / "detect" / "detections.jsonl") == first


def test_results_of_one_kind_or_clustered_again(small, tmp_path) -> None:
    pictures, truth = small
    source = saved(tmp_path / "theirs.json", truth)
    for choice, k in (("one", 1), ("again", 3)):
        out = tmp_path / choice
        detect = {"import_file": str(source), "import_clusters": choice}
        settings = {**BY_HAND, "detect": detect, "cluster": {"k": 3, "again": choice == "one"}}
        api.run(pictures=pictures, out=out, settings=settings, until="label", quiet=True)
        assert {
            mask["cluster"]
            for row in lines_of(out / "detect" / "detections.jsonl")
            for mask in row["masks"]
        } == {0}
        assert (out / "recluster").exists() == (choice == "again")  # whatever cluster.again said
        exported = json.loads(api.export(run=out).read_text())
        assert len(exported["categories"]) == k
        assert len({row["category_id"] for row in exported["annotations"]}) == k


def test_boxes_of_results_are_kept_and_cut_at_the_pictures_edge(small, scanned, tmp_path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[10:20, 5:25] = True
    row = {"image_id": 1, "category_id": 0, "segmentation": rle.encode(mask[None])[0], "score": 0.5}
    boxes = [[-3.5, 2.25, 70, 20], [8, 8, 0, 5]]
    found = saved(tmp_path / "boxes.json", [{**row, "bbox": bbox} for bbox in boxes])
    api.detect(out=scanned, settings={"detect": {"import_file": str(found)}})
    (first, *_) = lines_of(scanned / "detect" / "detections.jsonl")
    assert [mask["box"] for mask in first["masks"]] == [
        [0.0, 2.25, 56.0, 22.25],
        [5.0, 10.0, 25.0, 20.0],
    ]


def test_another_file_or_none_is_another_run_of_the_stage_and_a_moved_one_is_the_same(
    small, scanned, tmp_path
) -> None:
    _, truth = small
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


def test_an_import_that_was_stopped_begins_anew_and_ends_the_same(
    small, scanned, tmp_path, monkeypatch
) -> None:
    from maskdistill.stage_parts import imported_masks

    _, truth = small
    source = saved(tmp_path / "theirs.json", truth)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(imported_masks, "_record", stopped)
        with pytest.raises(KeyboardInterrupt):
            imported(scanned, source)
    assert {path.name for path in (scanned / "propose").iterdir()} == {"parts"}
    rows = imported(scanned, source)
    assert sum(len(row["masks"]) for row in rows) == len(truth["annotations"])
    assert not (scanned / "propose" / "parts").exists()


def test_polygons_that_went_out_come_in_as_the_masks_they_draw(small, scanned, tmp_path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[8:30, 6:40] = True
    drawn_as = polygons.polygons_from_mask(mask)
    found = [{"image_id": 1, "category_id": 0, "segmentation": drawn_as, "score": 1}]
    rows = imported(scanned, saved(tmp_path / "polygons.json", found))
    assert rle.iou([rows[0]["masks"][0]["rle"]], [rle.encode(mask[None])[0]])[0, 0] > 0.9


def test_with_several_seeds_what_is_imported_is_taken_and_the_rest_made_again(
    small, tmp_path
) -> None:
    pictures, truth = small
    source = saved(tmp_path / "theirs.json", truth)
    out = tmp_path / "run"
    settings = {
        **BY_HAND,
        "detect": {"import_file": str(source)},
        "segment": {"side": 48, "train": {"steps": 2, "batch": 2}},
        "ground_truth": [str(source)],
        "seeds": 2,
    }
    api.run(pictures=pictures, out=out, settings=settings, quiet=True)
    for seed in ("0", "1"):
        assert not (out / "seeds" / seed / "propose").exists()
        ours, theirs = (
            lines_of(run / "detect" / "detections.jsonl") for run in (out, out / "seeds" / seed)
        )
        assert ours == theirs
    trained = [
        (out / "seeds" / seed / "segment" / "train" / "model.safetensors").read_bytes()
        for seed in ("0", "1")
    ]
    assert trained[0] != trained[1]
    rows = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    assert {row["seeds"] for row in rows if row["stage"] == "segment" and "seeds" in row} == {2}
    with pytest.raises(SettingsError, match="no proposals are clustered"):
        api.run(
            pictures=pictures,
            out=tmp_path / "other",
            settings={**settings, "seeds_of": "clusters"},
            quiet=True,
        )
