"""Detector and segmenter on tokens, from a picture to the page, of sets that say little or nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.artifacts import label_maps
from maskdistill.engine.job import Job
from maskdistill.errors import RunError, TrainingError
from tests.made import events, lines_of, states
from tests.stages.test_detect_on_tokens import ANY, SETTINGS, N, bytes_of, changed, done, pictures

__all__ = ["pictures"]  # a fixture
WITH, WITHOUT = "timm/test_vit", "timm/test_vit3"  # a class token


def drawn(folder: Path, colours: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, coarse in enumerate(colours):
        Pillow.fromarray(coarse).resize((56, 40)).save(folder / f"{number}.png")
    return folder


def given(**more: dict[str, Any]) -> dict[str, Any]:
    return changed(**{"propose": ANY, "segment": {"train": {"steps": 3}}, **more})


RNG = np.random.default_rng(2)
COARSE = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
SETS = {
    "one picture": [COARSE],
    "all alike": [COARSE] * 4,
    "one grey": [np.full((5, 7, 3), 128, np.uint8)] * 4,
}


@pytest.mark.parametrize("backbone", [WITH, WITHOUT])
@pytest.mark.parametrize("name", SETS)
def test_a_set_that_says_little_goes_through_and_like_pictures_get_like_results(
    tmp_path, name, backbone
):
    folder, out = drawn(tmp_path / "pictures", SETS[name]), tmp_path / "run"
    own = given(propose={**ANY, "backbone": backbone})
    api.run(pictures=folder, out=out, settings=own, quiet=True)
    assert set(states(out).values()) == {"done"}
    found = [label_maps.read(path) for path in sorted((out / "segment/predictions").iterdir())]
    assert len(found) == len(SETS[name])
    assert all((each == found[0]).all() for each in found)
    masks = [row["masks"] for row in lines_of(out / "detect" / "detections.jsonl")]
    assert masks == [masks[0]] * len(masks)


def test_pictures_without_a_mask_are_learnt_from_and_predicted_as_the_others(pictures, tmp_path):
    every = done(pictures, tmp_path / "every", given(), until="propose")
    rows = lines_of(every / "propose" / "proposals.jsonl")
    best = sorted(max(mask["score"] for mask in row["masks"]) for row in rows)
    some = given(propose={**ANY, "min_score": (best[0] + best[-1]) / 2})
    out = done(pictures, tmp_path / "run", some, until="segment")
    n_masks = [len(row["masks"]) for row in lines_of(out / "propose" / "proposals.jsonl")]
    assert 0 in n_masks
    assert any(n_masks)
    counts = {row["stage"]: row["counts"] for row in api.status(out=out)}
    assert counts["detect/train"]["pictures"] == counts["detect"]["pictures"] == N
    assert counts["segment"]["predictions"] == N


@pytest.mark.parametrize("start", [None, "propose"])
def test_a_set_without_any_mask_says_what_to_lower_and_nothing_is_overwritten(
    pictures, tmp_path, start
):
    out = done(pictures, tmp_path / "run", given(), until="segment")
    before = {stage: bytes_of(out, stage) for stage in ("cluster", "detect", "label", "segment")}
    none = given(propose={**ANY, "min_score": 1.0})
    fresh = tmp_path / "fresh"
    where = {"out": fresh} if start is None else {"out": out, "start": start}
    with pytest.raises(TrainingError, match=r"no masks in the 5 pictures.*`propose\.min_score`"):
        done(pictures, given=none, **where)
    assert {stage: bytes_of(out, stage) for stage in before} == before


@pytest.mark.parametrize("own", [{}, {"size": "small"}])
def test_masks_none_of_which_is_trained_on_are_told_before_a_step(pictures, tmp_path, own):
    none = given(detect={**SETTINGS["detect"], **own, "min_proposal_score": 1.0})
    with pytest.raises(
        TrainingError, match=r"none of the masks of 5 training .* `detect\.min_proposal_score`"
    ):
        done(pictures, tmp_path / "run", none, until="detect")
    assert not (tmp_path / "run" / "detect" / "train" / "stage.json").exists()


def test_more_clusters_than_masks_are_as_many_as_there_are(tmp_path):
    folder = drawn(tmp_path / "pictures", SETS["one picture"])
    out = done(folder, tmp_path / "run", given(cluster={"k": 50}), until="segment")
    (row,) = lines_of(out / "propose" / "proposals.jsonl")
    about = json.loads((out / "cluster" / "clusters.json").read_text())
    assert about["k"] <= len(row["masks"])


@pytest.mark.parametrize("stage", ["detect", "segment"])
def test_a_picture_that_goes_away_on_the_way_stops_the_run_which_goes_on_once_it_is_back(
    pictures, tmp_path, monkeypatch, stage
):
    folder, away = tmp_path / "pictures", tmp_path / "away.png"
    folder.mkdir()
    for path in pictures.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    whole = done(folder, tmp_path / "whole", given(), until="segment")
    out = done(folder, tmp_path / "run", given(), until="cluster" if stage == "detect" else "label")
    own, read = Job.read_picture, []

    def read_picture(job: Job, image: Any, **how: Any) -> Any:
        read.append(image.id)
        if image.id == 3 and not away.exists():
            (folder / image.path).rename(away)
        return own(job, image, **how)

    monkeypatch.setattr(Job, "read_picture", read_picture)
    with pytest.raises(RunError, match=r"2\.png: cannot be opened any more(.|\n)*Bring it back"):
        done(folder, out, given(), until="segment")
    assert 2 in read  # in the middle: others were done
    assert not (out / stage / "stage.json").exists()
    monkeypatch.undo()
    away.rename(folder / "2.png")
    done(folder, out, given(), until="segment")
    for name in ("detect", "label", "segment"):
        assert bytes_of(out, name) == bytes_of(whole, name)
    assert events(out, "resume")
