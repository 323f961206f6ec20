"""segment.keep: which weights are the result, and what those are called that ground truth chose."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from maskdistill import api
from maskdistill.artifacts import finished_stages
from maskdistill.errors import GroundTruthError, SettingsError
from maskdistill.runs import record
from maskdistill.settings import load, resolve, validate
from maskdistill.stage_parts import best_on_truth
from maskdistill.stages import segment
from maskdistill.workflows import status
from tests.made import lines_of

BEST = "best_on_the_reported_data"
REUSED = ("propose", "cluster", "detect", "label")


def go(tiny, out: Path, segmenting: dict[str, Any], **given) -> None:
    settings = {**tiny.settings, "segment": {**tiny.settings["segment"], **segmenting}, **given}
    reuse = dict.fromkeys(REUSED, tiny.out)
    api.run(pictures=tiny.pictures, out=out, settings=settings, reuse=reuse, quiet=True)


@pytest.fixture(scope="module")
def chosen(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chosen") / "run"
    go(tiny, out, {"keep": BEST, "looks": 3})
    return out


def test_the_first_of_the_best_looks_is_kept_and_its_number_is_the_one_reported(chosen):
    looks = lines_of(chosen / "segment" / "train" / "looks.jsonl")
    assert [row["step"] for row in looks] == [2, 4, 6]
    best = max(looks, key=lambda row: row["mIoU"])
    entry = record.read(chosen / "segment" / "train" / "stage.json")
    assert entry is not None
    assert entry.counts["kept_step"] == best["step"]
    assert "looks.jsonl" in entry.outputs
    rows = json.loads((chosen / "evaluate" / "metrics.json").read_text())["metrics"]
    (row,) = [
        row
        for row in rows
        if row["stage"].startswith("segment") and row["name"] == "mIoU" and row["split"] != "train"
    ]
    assert row["value"] == pytest.approx(best["mIoU"], abs=1e-6)


def test_numbers_of_such_weights_stand_under_their_own_name_everywhere(chosen):
    rows = json.loads((chosen / "evaluate" / "metrics.json").read_text())["metrics"]
    assert not any(row["stage"] == "segment" for row in rows)
    own = [row for row in rows if row["stage"] == f"segment:{BEST}"]
    assert own
    assert all("chosen by the ground truth" in row["protocol"] for row in own)
    assert f"segment:{BEST}" in (chosen / "evaluate" / "metrics.md").read_text()
    page = (chosen / "report" / "index.html").read_text()
    assert f"segment:{BEST}" in page
    assert "by the ground truth it is REPORTED ON" in page
    assert any(
        BEST.replace("_", " ") in row.get("what", "") for row in lines_of(chosen / "ledger.jsonl")
    )


def test_the_name_changes_and_the_numbers_do_not(chosen, tmp_path, monkeypatch):
    copied = Path(shutil.copytree(chosen, tmp_path / "copied"))
    monkeypatch.setattr(finished_stages.Outputs, "chosen_by_truth", lambda self: False)
    api.evaluate(out=copied)

    def numbers(run: Path) -> list[Any]:
        rows = json.loads((run / "evaluate" / "metrics.json").read_text())["metrics"]
        return [
            (
                row["stage"].partition(":")[0],
                row["name"],
                row["split"],
                row["value"],
                row["interval"],
            )
            for row in rows
            if row["stage"].startswith("segment")
        ]

    assert numbers(copied) == numbers(chosen)
    assert "boundary_iou" in {name for _, name, *_ in numbers(chosen)}


def test_the_maps_are_read_where_the_stage_wrote_them(chosen, tmp_path, monkeypatch):
    copied = Path(shutil.copytree(chosen, tmp_path / "copied"))
    own, read = finished_stages.Outputs.label_map, set()

    def label_map(self, stage, image):
        read.add(stage)
        return own(self, stage, image)

    monkeypatch.setattr(finished_stages.Outputs, "label_map", label_map)
    api.evaluate(out=copied)
    assert read == {"label", "segment"}  # another name would be taken for a picture that has no map


def test_such_weights_are_not_compared_with_those_of_a_run_without_them(chosen, tiny, tmp_path):
    copied = Path(shutil.copytree(chosen, tmp_path / "copied"))
    api.evaluate(out=copied, against=tiny.out)
    rows = json.loads((copied / "evaluate" / "against.json").read_text())["metrics"]
    assert {row["name"] for row in rows if row["stage"].startswith("segment")} == {"agreement"}
    assert "mIoU" in {row["name"] for row in rows if row["stage"] == "label"}


class Killed(BaseException):
    """What a kill is to a test: nothing that anybody handles."""


@pytest.mark.parametrize("writes", ["write_bytes", "write_json"])
def test_a_training_that_is_killed_at_a_look_goes_on_with_the_same_bytes(
    chosen, tiny, tmp_path, monkeypatch, writes
):
    own = getattr(best_on_truth.atomic, writes)

    class Shell:
        write_bytes = staticmethod(best_on_truth.atomic.write_bytes)
        write_json = staticmethod(best_on_truth.atomic.write_json)

    def killed(*given):
        own(*given)
        raise Killed

    monkeypatch.setattr(Shell, writes, staticmethod(killed))
    monkeypatch.setattr(best_on_truth, "atomic", Shell)
    with pytest.raises(Killed):
        go(tiny, tmp_path / "out", {"keep": BEST, "looks": 3})
    monkeypatch.undo()
    go(tiny, tmp_path / "out", {"keep": BEST, "looks": 3})
    for name in ("stage.json", "model.safetensors", "looks.jsonl"):
        wanted = (chosen / "segment" / "train" / name).read_bytes()
        assert (tmp_path / "out" / "segment" / "train" / name).read_bytes() == wanted, name


def test_a_held_out_picture_that_cannot_be_read_costs_a_look_what_it_costs_the_number(
    tiny, tmp_path
):
    pictures = Path(shutil.copytree(tiny.validation, tmp_path / "validation"))
    segmenting = {**tiny.settings["segment"], "keep": BEST, "looks": 3}
    settings = {**tiny.settings, "segment": segmenting, "validation": str(pictures)}
    reuse = dict.fromkeys(REUSED, tiny.out)
    given = {"pictures": tiny.pictures, "out": tmp_path / "out", "settings": settings}
    api.run(**given, reuse=reuse, until="label", quiet=True)
    damaged = pictures / "v0002.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    api.segment(out=tmp_path / "out")
    api.evaluate(out=tmp_path / "out")
    looks = lines_of(tmp_path / "out" / "segment" / "train" / "looks.jsonl")
    rows = json.loads((tmp_path / "out" / "evaluate" / "metrics.json").read_text())["metrics"]
    (row,) = [
        row
        for row in rows
        if (row["stage"], row["name"], row["split"]) == (f"segment:{BEST}", "mIoU", "validation")
    ]
    assert "1 of 4 pictures refused (v0002.png)" in row["protocol"]
    assert row["value"] == pytest.approx(max(look["mIoU"] for look in looks), abs=1e-6)


def test_without_ground_truth_the_choice_is_refused(tiny, tmp_path):
    with pytest.raises(SettingsError, match="there is no ground truth to choose by"):
        go(tiny, tmp_path / "out", {"keep": BEST}, ground_truth=[])
    other = tmp_path / "others.json"
    other.write_text(
        '{"images": [{"id": 1, "file_name": "x.png", "width": 5, "height": 3}], "annotations": [],'
        ' "categories": [{"id": 1, "name": "disc"}]}'
    )
    with pytest.raises(GroundTruthError, match="none of the 1 pictures there"):
        go(tiny, tmp_path / "out", {"keep": BEST}, ground_truth=[str(other)])
    # Once the pictures are scanned the truth is read where it is wanted.
    with pytest.raises(SettingsError, match="there is none for these pictures"):
        go(tiny, tmp_path / "out", {"keep": BEST}, ground_truth=[str(other)])


def test_another_ground_truth_makes_such_weights_stale_and_no_others(chosen, tiny):
    assert {row["state"] for row in status.rows(chosen) if row["stage"].startswith("segment")} == {
        "done"
    }

    def parts(keep: str, truth: list[str]) -> dict[str, Any]:
        values = {**tiny.settings, "ground_truth": truth, "segment": {"keep": keep}}
        return segment.train_parts(resolve(validate(values, source="test")))

    assert parts(BEST, tiny.truth) != parts(BEST, tiny.truth[:1])
    assert parts("average", tiny.truth) == parts("average", tiny.truth[:1])


def test_another_reading_of_the_truth_makes_such_weights_stale_and_no_others(tiny):
    def parts(keep: str, **how: Any) -> dict[str, Any]:
        values = {**tiny.settings, "evaluate": how, "segment": {"keep": keep}}
        return segment.train_parts(resolve(validate(values, source="test")))

    usual, *others = [
        parts(BEST, **how) for how in ({}, {"void": 0}, {"label_values": "two_valued"})
    ]
    assert not {"void", "label_values"} & set(usual)  # runs of before stay what they are
    assert usual not in others
    assert others[0] != others[1]
    assert parts("average") == parts("average", void=0)


def test_the_last_weights_are_those_of_a_training_without_average(tiny):
    def parts(**given: Any) -> dict[str, Any]:
        return segment.train_parts(
            resolve(load({"propose": {"backbone": "handcrafted"}, "segment": given}))
        )

    none = {"average": 0.0, "learning_rate": 5e-4}
    assert parts(keep="last") == parts(train=none) != parts()
    assert parts(keep="average", train=none) == parts(train=none)


@pytest.mark.parametrize("preset", ["paper-voc12", "paper-coco20k"])
def test_the_papers_presets_keep_the_last_weights(preset):
    assert resolve(load(preset_name=preset)).segment.keep == "last"
    assert resolve(load()).segment.keep == "average"
