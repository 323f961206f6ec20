"""A picture that a stage could not read any more: it gains nothing by that, and is told beside the number."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdistill import api
from maskdistill.artifacts import label_maps
from maskdistill.datasets import truth
from maskdistill.evaluation import baselines, bootstrap, matching, semantic
from maskdistill.measuring import mask_measures

REFUSED = "v0002.png"
SAID = f"1 of 4 pictures refused ({REFUSED})"


def written(out: Path, name: str = "metrics") -> dict[str, Any]:
    return json.loads((out / "evaluate" / f"{name}.json").read_text(encoding="utf-8"))


def held_out(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = written(out)["metrics"]
    return {(row["stage"], row["name"]): row for row in rows if row["split"] == "validation"}


def images(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def refusing(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, of which a held-out picture was damaged before the detector saw it."""
    root = tmp_path_factory.mktemp("refusing")
    out = Path(shutil.copytree(tiny.out, root / "run"))
    pictures = Path(shutil.copytree(tiny.validation, root / "validation"))
    (pictures / REFUSED).write_bytes((pictures / REFUSED).read_bytes()[:100])
    for stage in ("detect", "recluster", "label", "segment"):
        (out / stage / "stage.json").unlink()
    shutil.rmtree(out / "label" / "maps")
    shutil.rmtree(out / "segment" / "predictions")
    for verb in (api.detect, api.label, api.segment):
        # What is made from refused pictures is known by its outputs too: the segmenter is other.
        verb(out=out, settings={"validation": str(pictures)}, redo=True)
    return out


@pytest.fixture(scope="module")
def evaluated(refusing) -> Path:
    api.evaluate(out=refusing)
    return refusing


@pytest.mark.parametrize("stage, folder", [("label", "maps"), ("segment", "predictions")])
def test_no_pixel_of_a_refused_picture_is_right(evaluated, tiny, stage, folder) -> None:
    source = truth.read(Path(tiny.truth[1]))
    n_classes = 1 + len(truth.read(Path(tiny.truth[0])).names)
    k = json.loads((evaluated / "recluster" / "clusters.json").read_text())["k"]
    counts = np.zeros((n_classes, k + 2), np.int64)
    background = 0
    for row in images(evaluated):
        if row["split"] != "validation":
            continue
        wanted = source.label_map(row["path"])
        path = evaluated / stage / folder / f"{row['id']}.png"
        if row["path"] == REFUSED:
            assert not path.exists()
            background = int((wanted == 0).sum())
            found = np.full(wanted.shape, 255, np.uint8)
        else:
            found = label_maps.read(path)
        counts += semantic.confusion(found, wanted, n_classes, columns=1 + k)
    assert background > 1000  # what was counted as right before
    _, renamed = matching.match_label_maps(counts)
    measured = held_out(evaluated)
    accuracy, miou = (measured[stage, name] for name in ("pixel_accuracy", "mIoU"))
    assert accuracy["value"] == pytest.approx(semantic.pixel_accuracy(renamed), abs=1e-6)
    assert miou["value"] == pytest.approx(semantic.mean_iou(renamed), abs=1e-6)


def test_what_became_of_it_is_told_beside_every_number_of_the_stage(evaluated, capsys) -> None:
    measured = held_out(evaluated)
    costs = {"detect": "no masks, so misses", "label": "all their pixels count as wrong"}
    costs["segment"] = costs["label"]
    for (stage, name), row in measured.items():
        wanted = f"{SAID}: {costs[stage]}" if stage in costs else None
        assert (wanted in row["protocol"]) if wanted else ("refused" not in row["protocol"]), name
    notes = [f"{stage}, validation: {SAID}: {cost}" for stage, cost in costs.items()]
    assert written(evaluated)["notes"] == notes
    table = (evaluated / "evaluate" / "metrics.md").read_text(encoding="utf-8")
    assert all(f"- {note}\n" in table for note in notes)
    api.evaluate(out=evaluated)
    assert SAID in capsys.readouterr().err


def test_where_nothing_was_refused_nothing_is_told(tiny) -> None:
    assert written(tiny.out)["notes"] == []
    assert not any("refused" in row["protocol"] for row in written(tiny.out)["metrics"])


def test_its_objects_are_missed_and_where_there_are_none_it_has_no_merit() -> None:
    (whole,) = baselines.records(baselines.whole((6, 8)))
    thing = {**whole, "category": 1, "crowd": False}
    truth_of = {1: [thing], 2: [thing], 3: [], 4: []}
    masks = {1: [whole], 3: [whole]}

    def values(refused: set[int]) -> dict[str, float]:
        found = mask_measures.of_masks("propose", truth_of, masks, refused=refused)
        return {each.name: bootstrap.value(each.statistic, 4) for each in found}

    before, after = values(set()), values({2, 4})
    assert after["CorLoc"] == after["mean_best_iou"] == after["AR100"] == 0.5
    # Picture 4, where nothing was to be found, was no merit of a method that never saw it.
    assert (before["false_mask_rate"], after["false_mask_rate"]) == (0.5, 1.0)
    assert {name: value for name, value in before.items() if name != "false_mask_rate"} == {
        name: value for name, value in after.items() if name != "false_mask_rate"
    }


def test_two_runs_do_not_agree_on_what_either_refused(evaluated, tiny) -> None:
    api.evaluate(out=evaluated, against=tiny.out)
    found = written(evaluated, "against")
    agreed = {
        row["stage"]: row
        for row in found["metrics"]
        if row["name"] == "agreement" and row["split"] == "validation"
    }
    for stage in ("detect", "label", "segment"):
        said = "1 of 4 pictures left out, refused in one run or both"
        assert agreed[stage]["protocol"].endswith(said)
    assert "left out" not in agreed["propose"]["protocol"]
    assert agreed["detect"]["value"] == 1  # the other three pictures have the same detections
    notes = [note for note in found["notes"] if note.startswith("here: segment, validation: ")]
    assert SAID in notes[0]
    assert not any(note.startswith("there") for note in found["notes"])
    assert f"- {notes[0]}\n" in (evaluated / "evaluate" / "against.md").read_text(encoding="utf-8")


def test_a_picture_without_a_sure_detection_is_background_and_counted(tiny, tmp_path) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "run"))
    scores = [
        max((mask["score"] for mask in json.loads(line)["masks"]), default=0.0)
        for line in (out / "detect" / "detections.jsonl").read_text().splitlines()
    ]
    split = [row["split"] for row in images(out)]
    train = [score for score, of in zip(scores, split, strict=True) if of == "train"]
    least = sorted(train)[len(train) // 2]
    settings = {"label": {"min_score": least, "keep_best": False, "overlap": "below"}}
    api.label(out=out, settings=settings, redo=True)
    api.evaluate(out=out)
    n_without = sum(score < least for score in train)
    assert 0 < n_without < len(train)
    rows = {(row["stage"], row["name"], row["split"]): row for row in written(out)["metrics"]}
    said = f"{n_without} of 10 pictures without a detection: all background"
    assert rows["label", "mIoU", "train"]["protocol"].endswith(said)
    assert f"label, train: {said}" in written(out)["notes"]
