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
from maskdistill.labels import paint, select
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
