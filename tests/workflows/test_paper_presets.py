"""Both presets of the paper through the real commands, on small trees of VOC and COCO: the presets, only made smaller.

Networks are the paper's own (ViT-S/16, ViT-S/8, two ResNet-50) with drawn weights in files of the published layouts, so
no number means anything; that each evaluator gives one, and that two ways to the same number agree, does.
"""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from torchvision.models import resnet50

from maskdistill import api, cli
from maskdistill.datasets import voc
from maskdistill.settings import load, preset, resolve
from tests.datasets import trees

pytestmark = pytest.mark.slow

SMALLER = {
    "propose": {"maskdistill": {"short_side": 96}},
    "detect": {
        "short_side": 64,
        "max_side": 96,
        "max_detections": 5,
        "train": {"steps": 2, "batch": 2},
    },
    "segment": {"side": 64, "train": {"steps": 2, "batch": 2}},
    "evaluate": {"bootstrap": 5},
    "report": {"tiles": 2, "tile_px": 64},
    "threads": 1,
}


def flags_of(values: dict, prefix: str = "--") -> list[str]:
    found = []
    for key, value in values.items():
        name = f"{prefix}{key.replace('_', '-')}"
        found += flags_of(value, f"{name}.") if isinstance(value, dict) else [name, str(value)]
    return found


def command(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def leaves(values: dict, prefix: str = "") -> dict[str, object]:
    found = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[str]:
    """--weights of files as they are published: DINO's ViTs and ResNet-50 plain, MoCo's under its query encoder."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    flags = []
    for stage, name, file in (
        ("propose", "vit_small_patch16_224", "dino_deitsmall16_pretrain.pth"),
        ("cluster", "vit_small_patch8_224", "dino_deitsmall8_pretrain.pth"),
    ):
        state = timm.create_model(name, pretrained=False, num_classes=0).state_dict()
        torch.save(
            {key: torch.randn_like(value) * 0.05 for key, value in state.items()}, folder / file
        )
        flags += ["--weights", f"{stage}={folder / file}"]
    body = {
        key: value
        for key, value in resnet50(weights=None).state_dict().items()
        if not key.startswith("fc.")
    }
    torch.save(body, folder / "dino_resnet50_pretrain.pth")
    under = {f"module.encoder_q.{key}": value for key, value in body.items()}
    torch.save(
        {"epoch": 800, "arch": "resnet50", "state_dict": under},
        folder / "moco_v2_800ep_pretrain.pth.tar",
    )
    flags += ["--weights", f"detect={folder / 'dino_resnet50_pretrain.pth'}"]
    return flags + ["--weights", f"segment={folder / 'moco_v2_800ep_pretrain.pth.tar'}"]


def metrics_of(run: Path) -> dict[tuple[str, str, str], float | None]:
    rows = json.loads((run / "evaluate" / "metrics.json").read_text())["metrics"]
    return {(row["stage"], row["name"], row["split"]): row["value"] for row in rows}


def check_settings(run: Path, name: str) -> None:
    """What the run was made with is the preset, but for what makes it smaller and the weights' files."""
    made = leaves(yaml.safe_load((run / "config.yaml").read_text()))
    smaller = leaves(SMALLER)
    for key, value in leaves(preset(name)).items():
        if key != "weights" and not (key == "cluster.support" and made[key]):
            assert made[key] == smaller.get(key, value), key
    whole = leaves(yaml.safe_load(yaml.safe_dump(preset(name))))
    for key, value in smaller.items():
        if key in whole and isinstance(value, int):
            assert value < whole[key], f"{key} is not smaller"
    assert resolve(load(preset_name=name)).cluster.again is False


EVALUATED = {
    "propose": (
        "CorLoc",
        "mean_best_iou",
        "boundary_iou",
        "AP50_agnostic",
        "AR100",
        "box_AP_agnostic",
    ),
    "detect": ("AP50", "AP50_agnostic", "AP50_single", "AP50_agnostic_single", "box_AP", "CorLoc"),
    "label": ("mIoU", "pixel_accuracy", "boundary_iou"),
    "segment": ("mIoU", "pixel_accuracy", "boundary_iou"),
    "cluster": ("mIoU", "boundary_iou"),
    "baseline:whole": ("AP50_agnostic", "mIoU"),
    "baseline:background": ("mIoU",),
}


def check_evaluated(run: Path) -> None:
    found = metrics_of(run)
    for stage, names in EVALUATED.items():
        for name in names:
            for split in ("train", "validation"):
                assert found[stage, name, split] is not None, (stage, name, split)
                assert 0 <= found[stage, name, split] <= 1
    rows = json.loads((run / "evaluate" / "metrics.json").read_text())["metrics"]
    (whole,) = [
        row
        for row in rows
        if (row["stage"], row["name"], row["split"]) == ("segment", "mIoU", "validation")
    ]
    assert "classes: paper" in whole["protocol"]
    (named,) = [
        row
        for row in rows
        if (row["stage"], row["name"], row["split"]) == ("detect", "AP50", "train")
    ]
    assert "every mask votes for the object of highest box IoU" in named["protocol"]
    assert (run / "report" / "index.html").stat().st_size > 10_000


def test_voc_with_a_support_set_of_voc_2007_every_evaluator_and_scores_of_the_same_files(
    weights, tmp_path
) -> None:
    home = trees.voc(tmp_path)
    older = trees.voc(tmp_path, year=2007, seed=3)
    found = voc.find(home)
    sbd = trees.sbd(tmp_path, home)
    lists = {"trainaug": voc.trainaug(found, sbd), "val": found.names("segmentation/val")}
    for name, names in lists.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{each}\n" for each in names))
    common = ["--preset", "paper-voc12", *weights, *flags_of(SMALLER), "--quiet"]
    command("run", older / "JPEGImages", "--out", tmp_path / "voc07", "--until", "cluster", *common)
    truth = tmp_path / "truth.json"
    command("data", "voc-instances", home, "--split", "segmentation/trainval", "--out", truth)
    run = tmp_path / "voc12"
    words = ["run", home / "JPEGImages", "--out", run, "--only", tmp_path / "trainaug.txt", *common]
    words += [
        "--validation",
        tmp_path / "val.txt",
        "--ground-truth",
        truth,
        "--cluster.support",
        tmp_path / "voc07",
    ]
    command(*words)
    check_settings(run, "paper-voc12")
    check_evaluated(run)
    images = [json.loads(line) for line in (run / "images.jsonl").read_text().splitlines()]
    splits = {
        name: [Path(row["path"]).stem for row in images if row["split"] == name]
        for name in ("train", "validation")
    }
    assert splits == {"train": lists["trainaug"], "validation": lists["val"]}
    clusters = json.loads((run / "cluster" / "clusters.json").read_text())
    assert clusters["supported_by"] == sum(
        row["split"] == "train" for row in _lines(tmp_path / "voc07" / "images.jsonl")
    )
    assert {row["state"] for row in api.status(out=run) if row["stage"] != "recluster"} == {"done"}

    # The same label maps by the command for anybody's files, against VOC's own maps.
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for row in images:
        name = Path(row["path"]).stem
        if row["split"] == "validation":
            shutil.copy(
                run / "segment" / "predictions" / f"{row['id']}.png", predictions / f"{name}.png"
            )
    settings = {
        "classes": "voc",
        "matching": "iou",
        "protocol": "paper",
        "only": tmp_path / "val.txt",
        "bootstrap": 0,
    }
    score = api.score_semantic(
        predictions=predictions, ground_truth=home / "SegmentationClass", **settings
    )
    scored = {row["name"]: row["value"] for row in score.rows if row["stage"] == "score"}
    shutil.copytree(run, tmp_path / "again")
    again = tmp_path / "again" / "config.yaml"
    again.write_text(again.read_text().replace(str(truth), str(home / "SegmentationClass")))
    command("evaluate", tmp_path / "again")
    by_maps = metrics_of(tmp_path / "again")
    # The class list of a folder of maps ends at the last class that occurs; VOC's has 21: absent ones count as 0.
    n_named = 1 + max(_classes_of(home / "SegmentationClass"))
    assert by_maps["segment", "mIoU", "validation"] * n_named == pytest.approx(
        scored["mIoU"] * 21, abs=1e-4
    )
    assert by_maps["segment", "pixel_accuracy", "validation"] == pytest.approx(
        scored["pixel_accuracy"], abs=1e-6
    )

    # And the detections, exported, as a results list in the ids of the truth.
    ids = {
        Path(row["file_name"]).stem: row["id"] for row in json.loads(truth.read_text())["images"]
    }
    exported = json.loads(api.export(run=run).read_text())
    name_of = {row["id"]: Path(row["file_name"]).stem for row in exported["images"]}
    results = [
        {**row, "image_id": ids[name_of[row["image_id"]]]}
        for row in exported["annotations"]
        if name_of[row["image_id"]] in lists["val"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    score = api.score_instances(
        predictions=tmp_path / "results.json",
        ground_truth=truth,
        matching="release",
        only=tmp_path / "val.txt",
        bootstrap=0,
    )
    scored = {row["name"]: row["value"] for row in score.rows if row["stage"] == "score"}
    for name in ("AP_agnostic", "AP50_agnostic_single", "box_AP50_agnostic"):
        assert metrics_of(run)["detect", name, "validation"] == pytest.approx(
            scored[name], abs=1e-6
        ), name

    # Another seed from the clusters on, and whether the two differ.
    other = tmp_path / "seed1"
    words[3] = other
    command(*words, "--seed", 1, "--reuse", f"propose={run}", "--until", "detect")
    command("evaluate", run, "--against", other)
    rows = json.loads((run / "evaluate" / "against.json").read_text())
    assert "agreement" in json.dumps(rows)
    assert "CorLoc" in json.dumps(rows)


def test_coco20k_by_its_list_with_crowds_and_every_evaluator(weights, tmp_path) -> None:
    truth = trees.coco(tmp_path, n=7)
    names = sorted(
        path.relative_to(tmp_path).as_posix() for path in (tmp_path / "train2014").glob("*.jpg")
    )
    with gzip.open(tmp_path / "coco20k_files.txt.gz", "wt") as file:
        file.writelines(f"{name}\n" for name in names[:6])
    (tmp_path / "held-out.txt").write_text("".join(f"{name}\n" for name in names[4:6]))
    run = tmp_path / "run"
    words = [
        "run",
        tmp_path,
        "--out",
        run,
        "--preset",
        "paper-coco20k",
        "--only",
        tmp_path / "coco20k_files.txt.gz",
    ]
    words += [
        "--validation",
        tmp_path / "held-out.txt",
        "--ground-truth",
        truth,
        *weights,
        *flags_of(SMALLER),
        "--quiet",
    ]
    command(*words)
    check_settings(run, "paper-coco20k")
    check_evaluated(run)
    assert [row["path"] for row in _lines(run / "images.jsonl")] == names[:6]
    assert any(row["iscrowd"] for row in json.loads(truth.read_text())["annotations"])
    command(*words)  # done before: nothing is refused, nothing changes
    exported = json.loads(
        api.export(
            run=run, of="proposals", polygons=True, out=tmp_path / "proposals.json"
        ).read_text()
    )
    assert {len(each) % 2 for row in exported["annotations"] for each in row["segmentation"]} <= {0}


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _classes_of(folder: Path) -> set[int]:
    found: set[int] = set()
    for path in folder.glob("*.png"):
        found |= set(np.unique(np.asarray(Image.open(path))).tolist())
    return found - {255}
