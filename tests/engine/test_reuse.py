"""run --reuse: finished stages of another run are taken where they agree, whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskdistill import api, cli
from maskdistill.errors import MaskDistillError, RunError, SettingsError, StaleError
from maskdistill.runs import record, reuse
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import load, resolve
from maskdistill.workflows import run as whole_run
from tests.made import events, states


def outputs(run: Path, *stages: str) -> dict[str, bytes]:
    """Bytes of the outputs of stages, and of their records."""
    found = {}
    for stage in stages:
        entry = record.read(run / stage / "stage.json")
        assert entry is not None, stage
        for name in ("stage.json", *entry.outputs):
            found[f"{stage}/{name}"] = (run / stage / name).read_bytes()
    return found


def started(run: Path) -> list[str]:
    return [row["stage"] for row in events(run, "start")]


def go(
    tiny, out: Path, *, until: str = "propose", reuse: dict[str, Any] | None = None, **given
) -> None:
    settings = {**tiny.settings, **given.pop("settings", {})}
    api.run(
        pictures=tiny.pictures,
        out=out,
        settings=settings,
        until=until,
        reuse=reuse,
        quiet=True,
        **given,
    )


def test_the_names_that_can_be_reused_are_those_of_the_stages(tmp_path):
    settings = resolve(load({"features": {"keep": "all"}, "cluster": {"again": True}}))
    stages = {
        stage.name
        for verb in api.VERBS
        for stage in whole_run.stages_of(verb, settings, RunFolder(tmp_path))
        if not stage.always
    }
    assert set(api.REUSABLE) == stages - {"scan"} | {"cluster/embeddings"}  # a part of a stage


def test_a_later_setting_does_not_compute_the_proposals_again(tiny, tmp_path):
    cluster = {"cluster": {**tiny.settings["cluster"], "k": 3}}
    go(tiny, tmp_path / "alone", until="cluster", settings=cluster)
    go(tiny, tmp_path / "out", until="cluster", settings=cluster, reuse={"propose": tiny.out})
    assert started(tmp_path / "out") == ["scan", "cluster"]
    (event,) = events(tmp_path / "out", "reuse")
    assert (event["stage"], event["run"]) == ("propose", str(tiny.out.resolve()))
    assert (event["files"], event["linked"]) == (1, 1)
    assert outputs(tmp_path / "out", "propose") == outputs(tiny.out, "propose")
    assert outputs(tmp_path / "out", "propose", "cluster") == outputs(
        tmp_path / "alone", "propose", "cluster"
    )
    assert (tmp_path / "out" / "propose" / "proposals.jsonl").samefile(
        tiny.out / "propose" / "proposals.jsonl"
    )
    assert {path.name for path in (tmp_path / "out" / "propose").iterdir()} == {
        "proposals.jsonl",
        "stage.json",
    }


def test_a_verb_takes_all_of_its_stages_and_nothing_is_left_to_do(tiny, tmp_path):
    reuse = dict.fromkeys(("propose", "cluster", "detect", "label", "segment"), tiny.out)
    go(tiny, tmp_path / "out", until="segment", reuse=reuse)
    assert started(tmp_path / "out") == ["scan"]
    names = (
        "propose",
        "cluster",
        "detect/train",
        "detect",
        "recluster",
        "label",
        "segment/train",
        "segment",
    )
    assert [row["stage"] for row in events(tmp_path / "out", "reuse")] == list(names)
    assert outputs(tmp_path / "out", *names) == outputs(tiny.out, *names)
    api.run(out=tmp_path / "out", quiet=True)
    assert set(states(tmp_path / "out").values()) == {"done"}
    assert "reuse" in (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    api.load(tmp_path / "out").predict(tiny.validation / "v0001.png")


def test_the_training_alone_is_taken_by_its_own_name(tiny, tmp_path):
    detect = {"detect": {**tiny.settings["detect"], "min_score": 0.3}}
    before = {"propose": tiny.out, "cluster": tiny.out}
    go(
        tiny,
        tmp_path / "out",
        until="detect",
        settings=detect,
        reuse={**before, "detect/train": tiny.out},
    )
    assert started(tmp_path / "out") == ["scan", "detect"]
    with pytest.raises(
        StaleError,
        match=r"min_score: 0\.0 -> 0\.3(.|\n)*--reuse detect/train takes the training alone",
    ):
        go(
            tiny,
            tmp_path / "other",
            until="detect",
            settings=detect,
            reuse={**before, "detect": tiny.out},
        )


def test_the_flag_is_no_setting_and_the_same_command_goes_on_when_the_other_run_is_gone(
    tiny, tmp_path
):
    other = Path(shutil.copytree(tiny.out, tmp_path / "other"))
    go(tiny, tmp_path / "out", reuse={"propose": other})
    go(tiny, tmp_path / "alone")
    configs = [
        yaml.safe_load((tmp_path / name / "config.yaml").read_text()) for name in ("out", "alone")
    ]
    assert configs[0] == configs[1]
    shutil.rmtree(other)
    before = outputs(tmp_path / "out", "propose")
    go(tiny, tmp_path / "out", reuse={"propose": other})
    assert outputs(tmp_path / "out", "propose") == before
    assert len(events(tmp_path / "out", "reuse")) == 1


def test_another_setting_is_refused_with_both_values_before_anything_is_done(tiny, tmp_path):
    out = tmp_path / "out"
    propose = {"propose": {"backbone": "handcrafted", "max_masks": 2}}
    with pytest.raises(StaleError, match=r"settings\.max_masks: 6 -> 2\n") as caught:
        go(tiny, out, settings=propose, reuse={"propose": tiny.out})
    assert str(tiny.out / "propose") in str(caught.value)
    assert "reads" not in str(caught.value)  # what is not known yet is not said to differ
    assert started(out) == []
    go(tiny, out, settings=propose)
    assert states(out)["propose"] == "done"


def test_other_pictures_are_refused_when_they_are_known(tiny, tmp_path):
    pictures = Path(shutil.copytree(tiny.pictures, tmp_path / "pictures"))
    shutil.copy(pictures / "p0001.png", pictures / "p0002.png")
    out = tmp_path / "out"
    with pytest.raises(StaleError, match=r"reads\.scan: \w{12}\.\.\. -> \w{12}\.\.\.\n"):
        api.run(
            pictures=pictures,
            out=out,
            settings=tiny.settings,
            until="propose",
            reuse={"propose": tiny.out},
            quiet=True,
        )
    assert not (out / "propose").exists()
    api.run(pictures=pictures, out=out, settings=tiny.settings, until="propose", quiet=True)
    assert states(out)["propose"] == "done"


def test_the_same_pictures_elsewhere_are_the_same(tiny, tmp_path):
    pictures = Path(shutil.copytree(tiny.pictures, tmp_path / "elsewhere"))
    settings = {
        **tiny.settings,
        "validation": str(shutil.copytree(tiny.validation, tmp_path / "validation")),
    }
    out = tmp_path / "out"
    api.run(
        pictures=pictures,
        out=out,
        settings=settings,
        until="propose",
        reuse={"propose": tiny.out},
        quiet=True,
    )
    assert started(out) == ["scan"]


def test_an_output_that_was_damaged_is_named_and_nothing_is_taken(tiny, tmp_path):
    other = Path(shutil.copytree(tiny.out, tmp_path / "other"))
    (other / "label" / "maps" / "1.png").write_bytes(b"something else")
    (other / "label" / "maps" / "2.png").unlink()
    reuse = dict.fromkeys(("propose", "cluster", "detect", "label"), other)
    with pytest.raises(RunError, match=r"maps/1\.png, maps/2\.png missing or changed"):
        go(tiny, tmp_path / "out", until="label", reuse=reuse)
    assert list((tmp_path / "out" / "label").iterdir()) == []
    # Not even the settings are held to.
    label = {"label": {"min_score": 0.3}}
    go(tiny, tmp_path / "out", until="label", settings=label, reuse={"recluster": other})
    assert states(tmp_path / "out")["label"] == "done"


def test_a_record_that_was_changed_by_hand_is_refused(tiny, tmp_path):
    other = Path(shutil.copytree(tiny.out, tmp_path / "other"))
    row = json.loads((other / "propose" / "stage.json").read_text())
    row["parts"]["settings"]["max_masks"] = 2
    (other / "propose" / "stage.json").write_text(json.dumps(row))
    with pytest.raises(RunError, match="was changed by hand"):
        go(
            tiny,
            tmp_path / "out",
            settings={"propose": {"backbone": "handcrafted", "max_masks": 2}},
            reuse={"propose": other},
        )


def test_a_stage_that_is_not_complete_there_is_refused_before_anything_is_done(tiny, tmp_path):
    other = Path(shutil.copytree(tiny.out, tmp_path / "other"))
    (other / "detect" / "stage.json").unlink()
    with pytest.raises(RunError, match=r"detect: not complete, so that it cannot be reused"):
        go(tiny, tmp_path / "out", until="detect", reuse={"detect": other})
    assert started(tmp_path / "out") == []


class Killed(BaseException):
    """What a kill is to a test: nothing that anybody handles."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Raise Killed at the n-th call that changes the disk while outputs are taken; the count of calls is returned."""
    calls = [0]

    def counted(own):
        def call(*given, **named):
            if calls[0] == step:
                raise Killed
            calls[0] += 1
            return own(*given, **named)

        return call

    class Shell:
        rmtree = staticmethod(counted(shutil.rmtree))
        copyfileobj = staticmethod(shutil.copyfileobj)

    monkeypatch.setattr(reuse, "_link_or_copy", counted(reuse._link_or_copy))
    monkeypatch.setattr(reuse, "shutil", Shell)
    monkeypatch.setattr(reuse.record, "verify", counted(record.verify))
    monkeypatch.setattr(reuse.atomic, "sync_folder", counted(reuse.atomic.sync_folder))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(record, "write", counted(record.write))
    return calls


@pytest.mark.parametrize("stage", ["label", "detect"])
def test_a_kill_at_any_moment_leaves_nothing_half_taken(tiny, tmp_path, stage):
    reuse = dict.fromkeys(
        ("propose", "cluster", "detect", "label")[: 3 + (stage == "label")], tiny.out
    )
    names = [stage, *(["detect/train"] if stage == "detect" else [])]
    wanted = outputs(tiny.out, *names)
    base = tmp_path / "base"
    until = "detect" if stage == "label" else "cluster"
    go(tiny, base, until=until, reuse={key: run for key, run in reuse.items() if key != stage})
    if stage == "label":
        go(tiny, base, until=until)
    killed = 0
    for step in range(1000):
        out = Path(shutil.copytree(base, tmp_path / "out"))
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, step)
            try:
                go(tiny, out, until=stage, reuse=reuse)
            except Killed:
                killed += 1
            else:
                break
        complete = (out / stage / "stage.json").exists()
        assert (
            not complete
            or record.verify(out / stage, record.read(out / stage / "stage.json")) == []
        )
        go(tiny, out, until=stage, reuse=reuse)
        assert outputs(out, *names) == wanted
        assert not list(out.rglob("parts"))
        shutil.rmtree(out)
    assert killed > 8
    assert outputs(tiny.out, *names) == wanted


def test_what_was_half_taken_is_made_by_the_same_command_without_the_flag(tiny, tmp_path):
    own = record.write

    def write(path, entry):
        if entry.stage == "propose":
            raise Killed
        own(path, entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "write", write)
        with pytest.raises(Killed):
            go(tiny, tmp_path / "out", reuse={"propose": tiny.out})
    assert states(tmp_path / "out")["propose"] == "unfinished"
    go(tiny, tmp_path / "out")
    assert outputs(tmp_path / "out", "propose") == outputs(tiny.out, "propose")
    assert "propose" in [row["stage"] for row in events(tmp_path / "out", "resume")]


def test_where_there_are_no_links_files_are_copied(tiny, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    go(tiny, tmp_path / "out", reuse={"propose": tiny.out})
    assert outputs(tmp_path / "out", "propose") == outputs(tiny.out, "propose")
    assert not (tmp_path / "out" / "propose" / "proposals.jsonl").samefile(
        tiny.out / "propose" / "proposals.jsonl"
    )
    assert [row["linked"] for row in events(tmp_path / "out", "reuse")] == [0]


def test_a_stage_that_is_done_again_leaves_the_other_runs_files_as_they_were(tiny, tmp_path):
    names = ("propose", "cluster", "detect/train", "detect", "recluster", "label")
    before = outputs(tiny.out, *names)
    go(
        tiny,
        tmp_path / "out",
        until="label",
        reuse=dict.fromkeys(("propose", "cluster", "detect", "label"), tiny.out),
    )
    settings = {
        "propose": {"backbone": "handcrafted", "max_masks": 5},
        "cluster": {**tiny.settings["cluster"], "k": 3},
        "detect": {
            **tiny.settings["detect"],
            "max_detections": 5,
            "train": {"steps": 3, "batch": 2, "warm_up": 1},
        },
    }
    go(tiny, tmp_path / "out", until="label", start="propose", settings=settings)
    assert outputs(tmp_path / "out", "label") != outputs(tiny.out, "label")
    assert outputs(tiny.out, *names) == before


def test_from_takes_of_another_run_what_is_stale_here(tiny, tmp_path):
    out = tmp_path / "out"
    go(tiny, out, settings={"propose": {"backbone": "handcrafted", "max_masks": 2}})
    with pytest.raises(StaleError, match=r"max_masks: 2 -> 6(.|\n)*--from propose"):
        go(tiny, out, reuse={"propose": tiny.out})
    go(tiny, out, reuse={"propose": tiny.out}, start="propose")
    assert outputs(out, "propose") == outputs(tiny.out, "propose")
    assert not (out / "old").exists()
    with pytest.raises(StaleError):  # and what does not fit leaves what is here as it is
        go(
            tiny,
            out,
            reuse={"propose": tiny.out},
            start="propose",
            settings={"propose": {"max_masks": 3}},
        )
    assert outputs(out, "propose") == outputs(tiny.out, "propose")


@pytest.mark.parametrize(
    "reuse, words",
    [
        ({"propos": "{}"}, "Perhaps you meant propose"),
        ({"scan": "{}"}, "'scan' cannot be taken of another run"),
        ({"report": "{}"}, "'report' cannot be taken of another run"),
        ({"label": "{}"}, "reuse: label comes after propose, the last stage to do"),
        ({"detect/train": "{}"}, "reuse: detect/train comes after propose"),
        ({"propose": "/nowhere"}, "/nowhere: not the folder of a run"),
        ({"propose": "{out}"}, "is this run itself"),
    ],
)
def test_what_cannot_be_reused_is_refused_before_the_folder_is_made(tiny, tmp_path, reuse, words):
    named = {stage: run.format(tiny.out, out=tmp_path / "out") for stage, run in reuse.items()}
    with pytest.raises(MaskDistillError, match=words):
        go(tiny, tmp_path / "out", reuse=named)
    assert not (tmp_path / "out").exists()


def test_a_stage_that_the_settings_leave_out_is_refused(tiny, tmp_path):
    cluster = {"cluster": {**tiny.settings["cluster"], "again": False}}
    with pytest.raises(SettingsError, match="reuse: recluster is no stage of this run"):
        go(tiny, tmp_path / "out", until="label", settings=cluster, reuse={"recluster": tiny.out})


def test_the_command_takes_it_too(tiny, tmp_path, capsys):
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump(tiny.settings))
    words = [
        "run",
        str(tiny.pictures),
        "--out",
        str(tmp_path / "out"),
        "--config",
        str(config),
        "--until",
        "cluster",
    ]
    flags = [
        "--reuse",
        "propose=/nowhere",
        "--reuse",
        f"propose={tiny.out}",
        f"--reuse=cluster={tiny.out}",
    ]
    assert cli.main([*words, *flags]) == 0
    said = capsys.readouterr().err
    assert f"propose: taken from {tiny.out}" in said
    assert f"cluster: taken from {tiny.out}" in said
    assert "about" not in said  # no time is expected where nothing is to be done
    assert started(tmp_path / "out") == ["scan"]
    assert cli.main([*words, *flags]) == 0
    assert "propose: done before" in capsys.readouterr().err
