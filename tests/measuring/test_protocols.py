"""VOC and COCO in their exact layouts through the real commands: fetched trees, a run by lists, every evaluator."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from maskdistill import api, cli
from maskdistill.datasets import truth, voc
from maskdistill.datasets.label_maps import map_folder
from maskdistill.downloads import run_command
from maskdistill.runs.progress import Progress
from tests.datasets import trees
from tests.tiny_runs import QUICK


def command(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def metrics(path: Path) -> dict[tuple[str, str, str], float]:
    rows = json.loads(path.read_text())["metrics"]
    return {(row["stage"], row["name"], row["split"]): row["value"] for row in rows}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    home = trees.voc(root, n_train=5, n_val=4, n_others=4)
    trees.sbd(root, home)
    run_command.make("voc2012", root, Progress(quiet=True))
    trees.coco(root, n=8)
    return root


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "quick.yaml"
    path.write_text(yaml.safe_dump(QUICK))
    return path


def test_the_truth_that_is_made_ready_gives_the_label_maps_of_the_devkit(data):
    found = voc.find(data)
    known = truth.read(data / "maskdistill" / "voc2012" / "val.json")
    number_of = [voc.CLASSES.index(name) for name in ["background", *known.names]]
    n_void = 0
    for name, path in found.label_maps(found.names("segmentation/val")).items():
        wanted = map_folder.read_map(path)
        ours = known.label_map(f"{name}.jpg")
        n_void += int((ours == 255).sum())
        np.testing.assert_array_equal(
            np.array([*number_of, *[255] * 251], np.uint8)[np.minimum(ours, 250)], wanted
        )
    assert n_void > 100


@pytest.mark.slow
def test_voc_by_its_lists_and_every_evaluator(data, config, tmp_path, capsys):
    ours, pictures, out = (
        data / "maskdistill" / "voc2012",
        voc.find(data).pictures,
        tmp_path / "voc",
    )
    lists = ["--only", ours / "trainaug.txt", "--validation", ours / "val.txt"]
    command(
        "run",
        pictures,
        *lists,
        "--ground-truth",
        ours / "val.json",
        "--config",
        config,
        "--out",
        out,
        "--quiet",
    )
    rows = [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]
    splits = {
        split: {row["path"] for row in rows if row["split"] == split}
        for split in ("train", "validation")
    }
    for split, name in (("train", "trainaug"), ("validation", "val")):
        assert splits[split] == set((ours / f"{name}.txt").read_text().split())
    found = metrics(out / "evaluate" / "metrics.json")
    assert {split for _, _, split in found} == {"validation"}  # val.json knows no other picture
    of_stages: dict[str, tuple[str, ...]] = {
        "propose": (
            "CorLoc",
            "mean_best_iou",
            "boundary_iou",
            "AP50_agnostic",
            "box_AP_agnostic",
            "AR100",
        ),
        "cluster": ("cluster_accuracy", "NMI", "ARI", "mIoU", "boundary_iou"),
        "detect": (
            "CorLoc",
            "AP",
            "AP50",
            "AP75",
            "AP50_single",
            "AP50_agnostic_single",
            "box_AP50",
        ),
        "label": ("mIoU", "pixel_accuracy"),
        "segment": ("mIoU", "pixel_accuracy", "boundary_iou"),
        "baseline:whole": ("CorLoc", "AP50_agnostic"),
        "baseline:background": ("mIoU",),
    }
    missing = [
        (stage, name)
        for stage, names in of_stages.items()
        for name in names
        if (stage, name, "validation") not in found
    ]
    assert missing == []
    # The same run measured with the label maps of the devkit: equal, though one truth is a JSON and one a folder.
    api.evaluate(out=out, settings={**QUICK, "ground_truth": [str(voc.find(data).class_maps)]})
    by_maps = metrics(out / "evaluate" / "metrics.json")
    assert (
        by_maps["segment", "pixel_accuracy", "validation"]
        == found["segment", "pixel_accuracy", "validation"]
    )
    assert by_maps["segment", "mIoU", "validation"] == found["segment", "mIoU", "validation"]
    capsys.readouterr()
    # Another run, of fewer clusters: a paired test, and how far the two agree.
    more = ["--cluster.k", "2", "--reuse", f"propose={out}", "--config", config, "--quiet"]
    command(
        "run",
        pictures,
        *lists,
        *more,
        "--ground-truth",
        ours / "val.json",
        "--out",
        tmp_path / "k2",
    )
    api.evaluate(
        out=out,
        settings={**QUICK, "ground_truth": [str(ours / "val.json")]},
        against=tmp_path / "k2",
    )
    against = json.loads((out / "evaluate" / "against.json").read_text())
    assert any(row["name"] == "agreement" for row in _rows(against))
    # What is scored without a run.
    command("export", out, "--out", tmp_path / "results.json")
    files = ["--predictions", tmp_path / "results.json", "--ground-truth", ours / "val.json"]
    # The export has the run's own image ids, and pictures that the truth does not know.
    assert cli.main(["score", "instances", *map(str, files), "--matching", "overlap"]) == 2
    assert "has results of 9 images that val.json does not have" in capsys.readouterr().err
    files += ["--only", ours / "val.txt"]
    command(
        "score",
        "instances",
        *files,
        "--matching",
        "overlap",
        "--bootstrap",
        "20",
        "--out",
        tmp_path / "i.json",
    )
    scored = metrics(tmp_path / "i.json")
    assert ("score", "AP50_single", "all") in scored
    assert (
        abs(
            scored["score", "AP50_agnostic", "all"] - found["detect", "AP50_agnostic", "validation"]
        )
        < 1e-6
    )
    assert scored["score", "CorLoc", "all"] == pytest.approx(
        found["detect", "CorLoc", "validation"], abs=1e-6
    )
    assert scored["baseline:whole", "CorLoc", "all"] == pytest.approx(
        found["baseline:whole", "CorLoc", "validation"], abs=1e-6
    )
    # CorLoc against the boxes of the XML, as earlier work has it on the splits of detection.
    boxes = tmp_path / "boxes.json"
    command(
        "data",
        "voc-instances",
        pictures.parent,
        "--split",
        "segmentation/val",
        "--of",
        "boxes",
        "--out",
        boxes,
    )
    command("export", out, "--of", "proposals", "--out", tmp_path / "proposals.json")
    words = [
        "--predictions",
        tmp_path / "proposals.json",
        "--ground-truth",
        boxes,
        "--only",
        ours / "val.txt",
    ]
    command("score", "instances", *words, "--matching", "release", "--out", tmp_path / "p.json")
    assert ("score", "CorLoc", "all") in metrics(tmp_path / "p.json")
    maps = tmp_path / "maps"
    maps.mkdir()
    for row in rows:
        if row["split"] == "validation":
            prediction = out / "segment" / "predictions" / f"{row['id']}.png"
            (maps / f"{Path(row['path']).stem}.png").write_bytes(prediction.read_bytes())
    words = [
        "--ground-truth",
        voc.find(data).class_maps,
        "--classes",
        "voc",
        "--only",
        voc.find(data).lists["segmentation/val"],
    ]
    command(
        "score",
        "semantic",
        "--predictions",
        maps,
        *words,
        "--matching",
        "iou",
        "--out",
        tmp_path / "s.json",
    )
    assert metrics(tmp_path / "s.json")["score", "pixel_accuracy", "all"] == pytest.approx(
        found["segment", "pixel_accuracy", "validation"], abs=1e-6
    )


@pytest.mark.slow
def test_coco_with_crowds_and_every_evaluator(data, config, tmp_path):
    out = tmp_path / "coco"
    source = data / "annotations" / "instances_train2014.json"
    (tmp_path / "list.txt").write_text(
        "\n".join(f"train2014/{path.name}" for path in sorted((data / "train2014").iterdir())[:6])
    )
    words = [
        "--only",
        tmp_path / "list.txt",
        "--ground-truth",
        source,
        "--config",
        config,
        "--out",
        out,
        "--quiet",
    ]
    command("run", data / "train2014", *words)
    found = metrics(out / "evaluate" / "metrics.json")
    assert len((out / "images.jsonl").read_text().splitlines()) == 6
    for stage, name in (
        ("detect", "AP50"),
        ("detect", "AP50_single"),
        ("propose", "CorLoc"),
        ("segment", "mIoU"),
    ):
        assert (stage, name, "train") in found


def _rows(value: Any) -> list[dict[str, Any]]:
    """All records of a nested structure that have a name."""
    if isinstance(value, dict):
        own = [value] if "name" in value else []
        return own + [row for each in value.values() for row in _rows(each)]
    return [row for each in value for row in _rows(each)] if isinstance(value, list) else []
