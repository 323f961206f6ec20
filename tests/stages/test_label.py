"""label: what is painted of the chosen detections, and what a fingerprint has of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api, cli
from maskdistill.artifacts import label_maps
from maskdistill.artifacts.mask_lines import detections, with_clusters
from maskdistill.engine.opening import configured
from maskdistill.errors import StaleError
from maskdistill.labels import ignoring, paint, select
from maskdistill.masks import rle
from maskdistill.settings import load, validate
from maskdistill.stages import label
from tests.reference import masks as reference


def rows_of(out: Path):
    return with_clusters(out / "detect" / "detections.jsonl", out / "recluster" / "clusters.jsonl")


def test_with_shape_box_whole_boxes_are_painted(tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(tiny.out, out)
    assert cli.main(["label", str(out), "--shape", "box", "--overlap", "below", "--redo"]) == 0
    size, n_painted, n_others = (96, 120), 0, 0
    for row in rows_of(out):
        found = detections(row, size)
        chosen = select(found.scores, min_score=0.05)
        path = out / "label" / "maps" / f"{row['id']}.png"
        assert path.exists() == bool(len(chosen))
        if not len(chosen):
            continue
        masks = np.array([reference.box_pixels(box, size) for box in found.boxes_xyxy[chosen]])
        wanted = paint(masks, found.clusters[chosen], found.scores[chosen], size, overlap="below")
        np.testing.assert_array_equal(label_maps.read(path), wanted)
        own = rle.decode([found.rles[position] for position in chosen])
        n_others += (masks != own).any()
        n_painted += 1
    assert n_painted > 3
    assert n_others > 0  # the masks would have given other maps
    coverage = json.loads((out / "label" / "coverage.json").read_text())
    before = json.loads((tiny.out / "label" / "coverage.json").read_text())
    assert sum(entry["coverage"] for entry in coverage.values()) > sum(
        e["coverage"] for e in before.values()
    )


def test_another_shape_is_another_map_and_the_usual_one_no_part_of_a_fingerprint(tiny) -> None:
    with pytest.raises(StaleError, match=r"settings\.shape: nothing -> box"):
        api.label(out=tiny.out, settings={"label": {"shape": "box"}})
    assert "shape" not in label.parts(load())
    assert label.parts(load({"label": {"shape": "box"}}))["shape"] == "box"
    api.label(out=tiny.out)
    assert validate(configured(tiny.out), source="").label.shape == "mask"


@pytest.mark.parametrize("overlap", ["skip", "below", "legacy"])
def test_every_rule_of_overlap_is_a_flag(tiny, tmp_path: Path, overlap: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(tiny.out, out)
    assert cli.main(["label", str(out), "--overlap", overlap, "--redo"]) == 0
    for row in rows_of(out):
        found = detections(row, (96, 120))
        chosen = select(found.scores, min_score=0.05)
        if len(chosen):
            masks = rle.decode([found.rles[position] for position in chosen])
            wanted = paint(
                masks, found.clusters[chosen], found.scores[chosen], (96, 120), overlap=overlap
            )
            np.testing.assert_array_equal(
                label_maps.read(out / "label" / "maps" / f"{row['id']}.png"), wanted
            )


def numbers_of(out: Path) -> list[dict]:
    rows = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    return [row for row in rows if row["stage"] == "label"]


def test_unsure_detections_are_ignored_where_nothing_is_painted_and_count_as_background(
    tiny, tmp_path: Path
) -> None:
    scores = [mask["score"] for row in rows_of(tiny.out) for mask in row["masks"]]
    sure, unsure = np.quantile(scores, [0.6, 0.1]).tolist()
    plain, ignored = (
        Path(shutil.copytree(tiny.out, tmp_path / name)) for name in ("plain", "ignored")
    )
    flags = ["--min-score", str(sure), "--overlap", "below", "--redo"]
    assert cli.main(["label", str(plain), *flags]) == 0
    assert cli.main(["label", str(ignored), *flags, "--unsure-score", str(unsure)]) == 0
    shares = []
    for row in rows_of(tiny.out):
        found = detections(row, (96, 120))
        name = f"label/maps/{row['id']}.png"
        assert (plain / name).exists() == (ignored / name).exists()
        if (plain / name).exists():
            masks = rle.decode([found.rles[n] for n in np.flatnonzero(found.scores >= unsure)])
            wanted = ignoring(label_maps.read(plain / name), masks)
            np.testing.assert_array_equal(label_maps.read(ignored / name), wanted)
            shares.append((wanted == 255).mean())
    assert np.mean(shares) > 0.01
    coverage, before = (
        json.loads((out / "label" / "coverage.json").read_text()) for out in (ignored, plain)
    )
    assert {
        number: {key: value for key, value in entry.items() if key != "ignored"}
        for number, entry in coverage.items()
    } == before
    record = json.loads((ignored / "label" / "stage.json").read_text())
    assert record["counts"]["mean_ignored"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert record["parts"]["settings"]["unsure_score"] == unsure
    for out in (plain, ignored):
        api.evaluate(out=out)
    assert numbers_of(ignored) == numbers_of(plain)


def test_a_score_for_unsure_ones_that_is_no_lower_changes_no_map_and_no_fingerprint() -> None:
    for own in ({}, {"unsure_score": 0.9}, {"unsure_score": 1.0}):
        assert label.parts(load({"label": {"min_score": 0.9, "overlap": "skip", **own}})) == {
            "min_score": 0.9,
            "keep_best": True,
            "overlap": "skip",
        }
    assert label.parts(load({"label": {"unsure_score": 0.3}}))["unsure_score"] == 0.3
