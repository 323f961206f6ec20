"""--redo: what was made before goes only when the new is complete; refused or stopped, it comes back."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from maskdistill import api, cli
from maskdistill.engine import replaced, stage
from maskdistill.errors import (
    PictureError,
    PredictionError,
    SettingsError,
    StaleError,
    TrainingError,
)
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.stages import detect
from tests.made import states
from tests.stages.theirs import saved

ALONE = ["segment=none"]  # where the detections are imported there is no detector to start from


class Killed(BaseException):
    """What a kill leaves: nothing is caught, nothing is tidied."""


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kill_in(patch: pytest.MonkeyPatch, step: int) -> None:
    """A kill in the midst of a training of the detector, one checkpoint on disk."""
    own = detect.train_network.checkpoint.write

    def write(folder, number, *given, **named):
        own(folder, number, *given, **named)
        if number == step:
            raise Killed

    patch.setattr(detect.train_network.checkpoint, "write", write)


def retrained(run: Path, *, steps: int, redo: bool) -> Path:
    train = {"steps": steps, "batch": 2, "warm_up": 2, "checkpoint_seconds": 0}
    return api.detect(out=run, settings={"detect": {"train": train}}, redo=redo)


def refused(run: Path, tmp_path: Path, verb: str) -> None:
    """A --redo that is refused for what it is given."""
    bad = saved(tmp_path / "bad.json", {"images": [], "annotations": []})
    if verb == "scan":
        (tmp_path / "none").mkdir()
        (tmp_path / "none" / "a.jpg").write_bytes(b"no picture")
        with pytest.raises(PictureError):
            api.scan(pictures=tmp_path / "none", out=run, settings={"validation": None}, redo=True)
    elif verb == "cluster":
        with pytest.raises(SettingsError):
            api.cluster(out=run, settings={"cluster": {"support": str(tmp_path)}}, redo=True)
    else:
        with pytest.raises(PredictionError):
            getattr(api, verb)(
                out=run, settings={verb: {"import_file": str(bad)}, "weights": ALONE}, redo=True
            )


@pytest.mark.parametrize("verb", ["scan", "propose", "cluster", "detect"])
def test_a_refused_redo_leaves_everything_as_it_was(copied, tmp_path, verb) -> None:
    before = {name: content(copied / name) for name in (verb, "detect/train")}
    config, images = (copied / "config.yaml").read_bytes(), (copied / "images.jsonl").read_bytes()
    refused(copied, tmp_path, verb)
    assert {name: content(copied / name) for name in before} == before
    assert (copied / "config.yaml").read_bytes() == config
    assert (copied / "images.jsonl").read_bytes() == images
    assert not (copied / "old").exists()
    assert states(copied)[verb] == "done"


def test_what_cannot_be_made_leaves_what_was_there_too(copied) -> None:
    before = content(copied / "cluster")
    api.propose(out=copied, settings={"propose": {"min_score": 1.0}}, redo=True)
    with pytest.raises(TrainingError, match="no masks"):
        api.cluster(out=copied, redo=True)
    assert content(copied / "cluster") == before
    api.propose(out=copied, settings={"propose": {"min_score": 0.05}}, redo=True)
    assert states(copied)["cluster"] == "done"


def test_an_unfinished_attempt_comes_back_from_a_refused_redo_too(copied, tmp_path) -> None:
    shutil.rmtree(copied / "propose")

    def killed(*_) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.record, "write", killed)
        with pytest.raises(Killed):
            api.propose(out=copied)
    begun = content(copied / "propose")
    assert begun["parts/journal.jsonl"]
    refused(copied, tmp_path, "propose")
    assert content(copied / "propose") == begun
    assert states(copied)["propose"] == "unfinished"


def test_the_kept_result_outlasts_a_second_attempt_and_comes_back_where_it_is_asked_for(
    copied, capsys
) -> None:
    before = content(copied / "detect")
    for steps in (9, 12):
        with pytest.MonkeyPatch.context() as patch:
            kill_in(patch, 2)
            with pytest.raises(Killed):
                retrained(copied, steps=steps, redo=True)
        kept = content(copied / "old" / "detect" / "train")
        assert {f"train/{name}": value for name, value in kept.items()}.items() <= before.items()
    with pytest.raises(
        StaleError, match=r"steps: 12 -> 6(.|\n)*is complete in old/, and comes back from there"
    ):
        retrained(copied, steps=6, redo=False)
    retrained(copied, steps=6, redo=True)
    assert content(copied / "detect") == before
    assert not (copied / "old").exists()
    assert "in its place again" in capsys.readouterr().err
    assert states(copied)["detect/train"] == "done"


def test_an_attempt_that_was_killed_goes_on_and_takes_the_place_of_the_old_one(copied) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_in(patch, 2)
        with pytest.raises(Killed):
            retrained(copied, steps=9, redo=True)
    before = len((copied / "ledger.jsonl").read_text().splitlines())
    with pytest.raises(
        StaleError, match="detect was made otherwise"
    ):  # its training is another one now
        retrained(copied, steps=9, redo=False)
    events = [
        json.loads(line) for line in (copied / "ledger.jsonl").read_text().splitlines()[before:]
    ]
    assert "resume" in [event["event"] for event in events]
    assert record.read(copied / "detect" / "train" / "stage.json").counts["steps"] == 9
    assert not (copied / "old").exists()
    retrained(copied, steps=9, redo=True)
    assert states(copied)["detect"] == "done"


def test_the_seconds_of_a_stage_are_those_of_all_its_sittings_and_not_of_what_it_replaced(
    copied,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_in(patch, 2)
        with pytest.raises(Killed):
            retrained(copied, steps=9, redo=True)
    parts = copied / "detect" / "train" / "parts"
    began = json.loads((parts / "seconds.json").read_text())["began"]
    os.utime(
        parts / "losses.jsonl", (began + 1000, began + 1000)
    )  # as if it had been worked at so long until the kill
    retrained(copied, steps=9, redo=True)
    seconds = {row["stage"]: row["seconds"] for row in api.status(out=copied)}
    assert 1000 < seconds["detect/train"] < 1100
    told = re.compile(r"\b1[678]\smin")
    assert told.search(api.report(out=copied).read_text(encoding="utf-8"))
    retrained(copied, steps=5, redo=True)
    assert {row["stage"]: row["seconds"] for row in api.status(out=copied)}["detect/train"] < 1000
    assert not told.search(api.report(out=copied).read_text(encoding="utf-8"))


def test_detections_of_others_leave_the_kept_training_alone(copied, small, tmp_path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_in(patch, 2)
        with pytest.raises(Killed):
            retrained(copied, steps=9, redo=True)
    kept = content(copied / "old" / "detect" / "train")
    assert "model.safetensors" in kept
    begun = content(copied / "detect" / "train")
    outline = [[1, 1, 9, 1, 9, 9]]
    rows = [
        {
            "image_id": 1,
            "category_id": 1,
            "bbox": [1, 1, 9, 9],
            "score": 0.5,
            "segmentation": outline,
        }
    ]
    given = {"detect": {"import_file": str(saved(tmp_path / "a.json", rows))}, "weights": ALONE}
    api.detect(out=copied, settings=given, redo=True)
    assert content(copied / "old" / "detect" / "train") == kept
    assert content(copied / "detect" / "train") == begun


@pytest.mark.parametrize("stage", ["label", "scan"])
def test_a_kill_at_any_moment_of_going_and_coming_back_loses_nothing(tiny, tmp_path, stage) -> None:
    wanted = content(tiny.out / stage)
    fingerprint = record.read(tiny.out / stage / "stage.json").fingerprint
    own = Path.rename
    killed = 0
    for step in range(1000):
        folder = RunFolder(Path(shutil.copytree(tiny.out, tmp_path / "out")))
        left = [step]

        def counted(path, target, left=left):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return own(path, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "rename", counted)
            try:
                replaced.retire(folder, stage, keeps=())
                folder.stage(stage).parts.path.mkdir()
                (folder.stage(stage).path / "new").write_text("of the attempt")
                replaced.bring_back(folder, stage, keeps=())
            except Killed:
                killed += 1
            else:
                break
        if not folder.stage(stage).record.exists():
            kept = replaced.kept(folder, stage)
            assert kept is not None
            assert kept.fingerprint == fingerprint
            replaced.bring_back(folder, stage, keeps=())
        assert content(folder.stage(stage).path) == wanted
        shutil.rmtree(folder.root)
    assert killed > 3
    assert content(folder.stage(stage).path) == wanted
    assert not folder.old.root.exists()


def test_the_command_says_what_became_of_the_old_result(copied, tmp_path, capsys) -> None:
    bad = saved(tmp_path / "bad.json", {"images": [], "annotations": []})
    assert cli.main(["propose", str(copied), "--import", str(bad), "--redo"]) == 2
    assert "propose: what was made before is in its place again" in capsys.readouterr().err
    assert cli.main(["propose", str(copied)]) == 0
    assert "propose: done before" in capsys.readouterr().err
