"""The whole chain on drawn pictures, every verb through the code that the command calls."""

import json
import shutil
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from maskdistill import api, cli, segmenter
from maskdistill.artifacts import label_maps
from maskdistill.crf import MASKDISTILL, dense_crf
from maskdistill.errors import MaskDistillError, RunError, SettingsError, StaleError
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.runs import record

STAGES = (
    "scan",
    "propose",
    "cluster",
    "detect/train",
    "detect",
    "recluster",
    "label",
    "segment/train",
    "segment",
)


def test_every_stage_is_complete_and_its_outputs_have_the_recorded_bytes(tiny) -> None:
    for name in STAGES:
        entry = record.read(tiny.out / name / "stage.json")
        assert entry is not None, name
        assert entry.outputs, name
        assert not entry.mixed
        assert record.verify(tiny.out if name == "scan" else tiny.out / name, entry) == []
        assert not (tiny.out / name / "parts").exists()
    assert {row["state"] for row in api.status(out=tiny.out)} == {"done"}


def test_ids_follow_the_paths_and_validation_pictures_come_from_their_own_folder(tiny) -> None:
    rows = [json.loads(line) for line in (tiny.out / "images.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(1, 15))
    assert [row["path"] for row in rows if row["split"] == "train"] == [
        f"p{number:04d}.png" for number in range(1, 11)
    ]
    assert {row["root"] for row in rows if row["split"] == "validation"} == {"validation"}


def test_the_same_command_again_does_nothing(tiny) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.out.rglob("stage.json")}
    api.run(
        pictures=tiny.pictures, out=tiny.out, settings=tiny.settings, quiet=True, until="segment"
    )
    assert {path: path.stat().st_mtime_ns for path in tiny.out.rglob("stage.json")} == before


def test_metrics_have_the_agreed_form_and_lie_in_the_unit_interval(tiny) -> None:
    metrics = json.loads((tiny.out / "evaluate" / "metrics.json").read_text())
    assert metrics["format"] == 1
    rows = metrics["metrics"]
    assert {"propose", "cluster", "detect", "label", "segment", "baseline:whole"} <= {
        row["stage"] for row in rows
    }
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert {"CorLoc", "mean_best_iou", "AP50_agnostic", "mIoU", "AP50"} <= {
        row["name"] for row in rows
    }
    for row in rows:
        assert row["value"] is None or -1 <= row["value"] <= 1, row
        assert set(row) == {"stage", "name", "split", "value", "interval", "pictures", "protocol"}
    whole = next(
        row for row in rows if row["stage"] == "baseline:whole" and row["name"] == "AP50_agnostic"
    )
    found = next(
        row for row in rows if row["stage"] == "propose" and row["name"] == "AP50_agnostic"
    )
    assert found["value"] > whole["value"] + 0.3


def test_the_report_is_one_file_that_needs_no_other(tiny) -> None:
    text = (tiny.out / "report" / "index.html").read_text(encoding="utf-8")

    class Sources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if name == "src" or (name == "href" and tag == "link"):
                    assert value is not None
                    assert value.startswith("data:"), value

    Sources().feed(text)
    for word in ("propose", "cluster 0", "p0001.png", "AP50"):
        assert word in text


def test_predictions_lie_at_the_pictures_relative_paths_and_twin_stems_do_not_meet(
    tiny, tmp_path: Path
) -> None:
    pictures = tmp_path / "new pictures"
    (pictures / "ä b").mkdir(parents=True)
    shutil.copy(tiny.validation / "v0001.png", pictures / "one.png")
    shutil.copy(tiny.validation / "v0002.png", pictures / "ä b" / "one.png")
    with Image.open(tiny.validation / "v0003.png") as picture:
        picture.save(pictures / "one.jpg")
    (pictures / "broken.jpg").write_bytes(b"not a picture")
    counts = api.predict(run=tiny.out, pictures=pictures, out=tmp_path / "out", quiet=True)
    assert counts == {"predicted": 3, "done before": 0, "refused": 1}
    assert (
        api.predict(run=tiny.out, pictures=pictures, out=tmp_path / "out", quiet=True)[
            "done before"
        ]
        == 3
    )
    with Image.open(tmp_path / "out" / "ä b" / "one.png") as label_map:
        assert label_map.mode == "P"
        assert label_map.size == (120, 96)
    found = json.loads((tmp_path / "out" / "one.jpg.json").read_text(encoding="utf-8"))
    assert found["picture"] == "one.jpg"
    for each in found["instances"]:
        assert rle.decode([each["mask"]]).any()
        assert each["name"] == f"cluster {each['cluster']}"


def test_a_loaded_run_predicts_what_the_run_predicted(tiny) -> None:
    model = api.load(tiny.out)
    prediction = model.predict(tiny.validation / "v0001.png")
    row = next(
        json.loads(line)
        for line in (tiny.out / "images.jsonl").read_text().splitlines()
        if "v0001" in line
    )
    stored = label_maps.read(tiny.out / "segment" / "predictions" / f"{row['id']}.png")
    np.testing.assert_array_equal(prediction.label_map, stored)
    with pytest.raises(ValueError, match="uint8"):
        model.predict(np.zeros((4, 4)))


def test_the_instances_of_a_loaded_run_count_in_the_clusters_of_its_label_maps(tiny) -> None:
    model = api.load(tiny.out)
    images = [json.loads(line) for line in (tiny.out / "images.jsonl").read_text().splitlines()]
    rows = [
        json.loads(line)
        for line in (tiny.out / "recluster" / "clusters.jsonl").read_text().splitlines()
    ]
    compared = 0
    for image in images:
        root = tiny.validation if image["root"] == "validation" else tiny.pictures
        found = model.predict(root / image["path"]).instances.clusters.tolist()
        assert found == [row["cluster"] for row in rows if row["id"] == image["id"]]
        compared += len(found)
    assert compared > 0
    summary = json.loads((tiny.out / "recluster" / "clusters.json").read_text())
    assert model.names == [f"cluster {number}" for number in range(summary["k"])]


def test_an_old_clustering_of_detections_is_not_used_where_the_settings_say_none(
    copied: Path, tiny, tmp_path: Path
) -> None:
    out = copied
    assert api.export(run=out, out=tmp_path / "again.json").exists()
    settings = {**tiny.settings, "cluster": {**tiny.settings["cluster"], "again": False}}
    api.run(pictures=tiny.pictures, out=out, settings=settings, start="label", quiet=True)
    assert (out / "recluster" / "stage.json").exists()
    api.export(run=out, out=tmp_path / "own.json")
    lines = [
        json.loads(line) for line in (out / "detect" / "detections.jsonl").read_text().splitlines()
    ]
    own = [1 + mask["cluster"] for line in lines for mask in line["masks"]]
    loaded = json.loads((tmp_path / "own.json").read_text())
    assert [each["category_id"] for each in loaded["annotations"]] == own
    k = json.loads((out / "cluster" / "clusters.json").read_text())["k"]
    assert len(loaded["categories"]) == k
    assert api.load(out).names == [f"cluster {number}" for number in range(k)]


def test_clustering_the_detections_is_one_commands_work_and_then_counts_for_the_label_maps(
    copied: Path, tiny, tmp_path: Path
) -> None:
    out = copied
    shutil.rmtree(out / "recluster")
    settings = {**tiny.settings, "cluster": {**tiny.settings["cluster"], "again": False}}
    api.run(
        pictures=tiny.pictures, out=out, settings=settings, until="label", start="label", quiet=True
    )
    api.cluster(out=out, settings={"cluster": {"of": "detections"}})
    kept = yaml.safe_load((out / "config.yaml").read_text())["cluster"]
    assert (kept["of"], kept["again"]) == ("proposals", True)
    states = {row["stage"]: row["state"] for row in api.status(out=out)}
    assert (states["cluster"], states["recluster"], states["detect"]) == ("done", "done", "done")
    assert states["label"] == "stale"


def test_a_picture_of_any_name_is_predicted_and_a_replaced_one_anew(tiny, tmp_path: Path) -> None:
    pictures = tmp_path / "new"
    pictures.mkdir()
    for name in ("predict.png", "lock.png", "made-with.png"):
        shutil.copy(tiny.validation / "v0001.png", pictures / name)
    out = tmp_path / "out"
    assert api.predict(run=tiny.out, pictures=pictures, out=out, quiet=True)["predicted"] == 3
    assert api.predict(run=tiny.out, pictures=pictures, out=out, quiet=True)["done before"] == 3
    names = {
        f"{name}.{suffix}"
        for name in ("predict", "lock", "made-with")
        for suffix in ("json", "png")
    }
    assert {path.name for path in out.iterdir()} == {".maskdistill", *names}
    before = json.loads((out / "lock.json").read_text())
    shutil.copy(tiny.validation / "v0002.png", pictures / "lock.png")
    counts = api.predict(run=tiny.out, pictures=pictures, out=out, quiet=True)
    assert counts == {"predicted": 1, "done before": 2, "refused": 0}
    assert json.loads((out / "lock.json").read_text()) != before


def test_predictions_of_other_settings_are_not_mixed(copied: Path, tiny, tmp_path: Path) -> None:
    run, out = copied, tmp_path / "out"
    api.predict(run=run, pictures=tiny.validation, out=out, quiet=True)
    api.detect(out=run, settings={"detect": {"min_score": 0.3}}, redo=True)
    with pytest.raises(RunError, match=r"other networks or settings \(.*min_score: 0\.0 -> 0\.3"):
        api.predict(run=run, pictures=tiny.validation, out=out, quiet=True)


def test_without_a_segmenter_instances_alone_are_predicted_and_that_is_said(
    copied: Path, tiny, tmp_path: Path, capsys
) -> None:
    run, out = copied, tmp_path / "predicted"
    shutil.rmtree(run / "segment")
    api.predict(run=run, pictures=tiny.validation, out=out)
    assert "has no trained segmenter: instances alone, no label maps" in capsys.readouterr().err
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {".json"}
    api.predict(run=tiny.out, pictures=tiny.validation, out=tmp_path / "whole")
    assert "no trained segmenter" not in capsys.readouterr().err


def test_predictions_with_a_crf_follow_the_edges_and_are_not_mixed_with_plain_ones(
    tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["predict", str(tiny.out), str(tiny.validation), "--out", str(out), "--crf", "--quiet"]
    assert cli.main(words) == 0
    model = api.load(tiny.out, crf=True)
    rgb = read(tiny.validation / "v0001.png")
    (logits,) = segmenter.logits_many(model.segmenter, [rgb], side=model.settings.segment.side)
    wanted = segmenter.label_map(logits, rgb, crf=partial(dense_crf, **MASKDISTILL))
    np.testing.assert_array_equal(label_maps.read(out / "v0001.png"), wanted)
    with pytest.raises(RunError, match=r"other networks or settings \(.*pixels: crf -> "):
        api.predict(run=tiny.out, pictures=tiny.validation, out=out, quiet=True)


def test_a_crf_without_a_segmenter_is_refused(copied: Path, tiny, tmp_path: Path) -> None:
    run = copied
    shutil.rmtree(run / "segment")
    with pytest.raises(RunError, match="no trained segmenter"):
        api.load(run, crf=True)


def test_the_training_pictures_are_predicted_with_a_crf_where_the_settings_want_it(
    copied: Path, tiny, tmp_path: Path
) -> None:
    run = copied
    api.segment(out=run, settings={"segment": {"pixels": "crf"}}, redo=True)
    row = next(
        json.loads(line)
        for line in (run / "images.jsonl").read_text().splitlines()
        if "v0001" in line
    )
    wanted = api.load(tiny.out, crf=True).predict(tiny.validation / "v0001.png").label_map
    np.testing.assert_array_equal(
        label_maps.read(run / "segment" / "predictions" / f"{row['id']}.png"), wanted
    )


@pytest.mark.parametrize("of", ["detections", "proposals"])
def test_pycocotools_opens_the_export_and_sees_the_same_masks(
    tiny, tmp_path: Path, of: str
) -> None:
    path = api.export(run=tiny.out, of=of, out=tmp_path / "coco.json")
    loaded = COCO(str(path))
    name = {"detections": "detect/detections.jsonl", "proposals": "propose/proposals.jsonl"}[of]
    lines = [json.loads(line) for line in (tiny.out / name).read_text().splitlines()]
    assert len(loaded.anns) == sum(len(line["masks"]) for line in lines) > 0
    first = next(line for line in lines if line["masks"])
    annotation = next(each for each in loaded.anns.values() if each["image_id"] == first["id"])
    np.testing.assert_array_equal(
        loaded.annToMask(annotation), rle.decode([first["masks"][0]["rle"]])[0]
    )
    assert annotation["category_id"] in loaded.cats


def test_another_setting_is_refused_with_both_values_and_from_does_it_again(
    copied: Path, tiny, tmp_path: Path
) -> None:
    out = copied
    changed = {**tiny.settings, "label": {"min_score": 0.2, "overlap": "below"}}
    config = (out / "config.yaml").read_bytes()
    with pytest.raises(StaleError, match=r"settings\.min_score: 0\.05 -> 0\.2") as caught:
        api.run(pictures=tiny.pictures, out=out, settings=changed, until="label", quiet=True)
    assert "--from label" in str(caught.value)
    assert (
        out / "config.yaml"
    ).read_bytes() == config  # what was refused is not what the run was made with
    assert {row["state"] for row in api.status(out=out)} == {"done"}
    trained = (out / "detect" / "train" / "stage.json").stat().st_mtime_ns
    api.run(
        pictures=tiny.pictures, out=out, settings=changed, until="label", start="label", quiet=True
    )
    assert (out / "detect" / "train" / "stage.json").stat().st_mtime_ns == trained
    assert not (out / "old").exists()
    states = {row["stage"]: row["state"] for row in api.status(out=out)}
    assert states["label"] == "done"
    assert states["segment/train"] == "stale"


def test_another_detection_threshold_does_not_train_again(
    copied: Path, tiny, tmp_path: Path
) -> None:
    out = copied
    trained = (out / "detect" / "train" / "model.safetensors").stat().st_mtime_ns
    api.detect(out=out, settings={"detect": {"min_score": 0.3}}, redo=True)
    assert (out / "detect" / "train" / "model.safetensors").stat().st_mtime_ns == trained
    lines = [
        json.loads(line) for line in (out / "detect" / "detections.jsonl").read_text().splitlines()
    ]
    assert all(mask["score"] >= 0.3 for line in lines for mask in line["masks"])


def test_another_ground_truth_changes_nothing_that_was_made(
    copied: Path, tiny, tmp_path: Path
) -> None:
    out = copied
    before = (out / "segment" / "stage.json").read_bytes()
    api.evaluate(out=out, settings={"ground_truth": []})
    assert json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"] == []
    api.run(out=out, quiet=True)
    assert (out / "segment" / "stage.json").read_bytes() == before


def test_a_damaged_output_is_noticed(copied: Path, tiny, tmp_path: Path) -> None:
    out = copied
    (out / "propose" / "proposals.jsonl").write_text("")
    with pytest.raises(StaleError, match="missing or changed"):
        api.run(
            pictures=tiny.pictures, out=out, settings=tiny.settings, until="propose", quiet=True
        )


def test_pictures_that_came_or_went_are_counted_by_name(copied: Path, tiny, tmp_path: Path) -> None:
    out = copied
    pictures = Path(shutil.copytree(tiny.pictures, tmp_path / "pictures"))
    (pictures / "p0003.png").unlink()
    shutil.copy(tiny.validation / "v0001.png", pictures / "new.png")
    with pytest.raises(RunError, match=r"\+1 and -1 \(\+new\.png, -p0003\.png\)"):
        api.run(pictures=pictures, out=out, settings=tiny.settings, quiet=True)


def test_the_command_tells_what_is_wrong_in_one_message(
    tiny, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert cli.main(["status", str(tiny.out)]) == 0
    shown = capsys.readouterr().out
    assert "detect/train" in shown
    assert cli.main(["status", str(tmp_path)]) == 2
    assert cli.main(["fly"]) == 2
    assert "there is no command 'fly'" in capsys.readouterr().err


def test_an_unknown_backbone_weights_or_device_is_refused_before_anything_is_done(
    tiny, tmp_path: Path
) -> None:
    for settings, words in (
        ({"propose": {"backbone": "dino_vits12"}}, "dino_vits16"),
        (
            {
                "propose": {"backbone": "timm/vit_tiny_patch16_224"},
                "weights": ["propose=/nowhere.pth"],
            },
            "neither a file",
        ),
        ({"device": "cuda:77"}, "GPU"),
    ):
        with pytest.raises(MaskDistillError, match=words):
            api.run(
                pictures=tiny.pictures,
                out=tmp_path / words[:4],
                settings=settings,
                until="propose",
                quiet=True,
            )
    with pytest.raises(SettingsError, match="Perhaps you meant propose"):
        api.run(pictures=tiny.pictures, out=tmp_path / "x", settings={"propos": {}}, quiet=True)
