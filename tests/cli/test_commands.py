"""The command: flags over files over presets, and one message for whatever is wrong."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import torch
import yaml

from maskdistill import api, cli
from maskdistill.workflows import demo_pictures

BY_HAND = ["--propose.backbone", "handcrafted", "--threads", "1", "--quiet"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=3, seed=5, size=(64, 80), prefix="p"
    )
    return root / "pictures"


@pytest.fixture(scope="module")
def proposed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["run", str(pictures), "--out", str(out), "--until", "propose", *BY_HAND]) == 0
    return out


@pytest.fixture
def copied(proposed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proposed, tmp_path / "copy"))


def config(out: Path) -> dict[str, typing.Any]:
    return yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))


def scanned(pictures: Path, out: Path, *flags: str) -> dict[str, typing.Any]:
    """config.yaml after `run --until scan`, flags before PICTURES where they are given before a `--`."""
    before, after = (
        (flags[: flags.index("--")], flags[flags.index("--") + 1 :])
        if "--" in flags
        else ((), flags)
    )
    words = ["run", *before, str(pictures), "--out", str(out), "--until", "scan", "--quiet", *after]
    assert cli.main(words) == 0
    return config(out)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says on standard error while it ends with status 2 and says nothing on standard output."""
    try:
        status = cli.main(list(words))
    except SystemExit as stopped:  # tyro's own refusals of flags
        status = stopped.code
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def test_an_unknown_command_is_answered_with_all_and_the_nearest(capsys):
    said = refused(capsys, "propse", "runs/x")
    assert said.count("\n") == 1
    assert said.startswith(
        "maskdistill propse: there is no command 'propse'. Commands: run, scan, propose,"
    )
    assert said.endswith("Perhaps you meant propose.\n")
    assert "Perhaps" not in refused(capsys, "fly")


def test_a_misspelt_flag_is_answered_with_the_nearest(capsys, tmp_path):
    said = refused(
        capsys, "run", "x", "--out", str(tmp_path / "out"), "--propose.methd", "tokencut"
    )
    assert "Unrecognized options: --propose.methd" in said
    assert "--propose.method {auto,maskdistill,lost,tokencut,maskcut}" in said
    assert not (tmp_path / "out").exists()


def test_a_value_that_is_no_choice_is_answered_with_the_choices(capsys, tmp_path):
    said = refused(capsys, "run", "x", "--out", str(tmp_path / "out"), "--propose.method", "lst")
    assert "invalid choice 'lst' for argument '--propose.method'" in said
    assert "'auto', 'maskdistill', 'lost', 'tokencut', 'maskcut'" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--label.min-score", "nan"], "label.min_score must be in [0, 1], got nan"),
        (["--label.min-score=1.5"], "label.min_score must be in [0, 1], got 1.5"),
        (["--seed=-1"], "seed must be at least 0, got -1"),
        (["--limit", "many"], "--limit"),
        (["--weights", "propose"], "'propose' is not STAGE=WHAT"),
        (["--weights=label=none"], "'label=none' is not STAGE=WHAT"),
        (["--preset", "paper-voc"], "Perhaps you meant paper-voc12"),
        (["--preset=paper-voc"], "Perhaps you meant paper-voc12"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
        (["--until", "fly"], "invalid choice 'fly'"),
        (
            ["--reuse", "propose"],
            "'propose' is not STAGE=RUN1. For example: --reuse propose=runs/a",
        ),
        (["--reuse", "=runs/a"], "'=runs/a' is not STAGE=RUN1"),
        (["--reuse", "propse=runs/a"], "Perhaps you meant propose"),
        (
            ["--reuse", "scan=runs/a"],
            "'scan' cannot be taken of another run. What can: propose, propose/features, cluster,",
        ),
        (
            ["--reuse", "label=runs/a", "--until", "detect"],
            "reuse: label comes after detect, the last stage to do",
        ),
        (["--reuse=propose=/nowhere"], "/nowhere: not the folder of a run (no config.yaml)"),
        (
            ["--until", "scan", "--from", "label"],
            "from: label comes after scan, the last stage to do",
        ),
    ],
)
def test_a_flag_that_cannot_be_used_is_named_before_anything_is_made(
    capsys, tmp_path, flags, words
):
    assert words in refused(capsys, "run", str(tmp_path), "--out", str(tmp_path / "out"), *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags", [["--threads=-1"], ["--seed=-1"], ["--weights", "propose"], ["--min-score", "2"]]
)
def test_a_stages_own_verb_refuses_values_in_one_message_too(capsys, copied, flags):
    assert re.search("must be|is not STAGE=WHAT", refused(capsys, "propose", str(copied), *flags))


def test_the_exit_status_is_2_with_one_message_on_standard_error(tmp_path):
    command = [
        sys.executable,
        "-m",
        "maskdistill",
        "run",
        "photos",
        "--out",
        str(tmp_path),
        "--preset",
        "qick",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("maskdistill run: preset: there is no 'qick'. ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["status", "{}/x"],
        ["propose", "{}/x"],
        ["propose", "{}/x", "--method", "tokencut"],
        ["report", "{}/x"],
        ["run", "--out", "{}/x"],
        ["scan", "{}/x", "--out", "{}/y"],
        ["predict", "{}/x", "{}", "--out", "{}/y"],
        ["export", "{}/x", "--as", "coco"],
        ["masks", "{}/x", "--out", "{}/y", "--backbone", "handcrafted"],
        ["demo", "--n-kinds", "50", "--out", "{}/y"],
        ["scan", "{}", "--out", "{}/y", "--limit=-1"],
    ],
    ids=" ".join,
)
def test_whatever_a_user_can_mend_is_one_line_without_a_traceback(capsys, tmp_path, words):
    said = refused(capsys, *(word.format(tmp_path) for word in words))
    assert said.count("\n") == 1
    assert said.startswith(f"maskdistill {words[0]}: ")


@pytest.mark.parametrize(
    "words",
    [
        ["run", "{pictures}", "--out", "{file}/x"],
        ["scan", "{pictures}", "--out", "{file}/x"],
        ["export", "{run}", "--as", "coco", "--of", "proposals", "--out", "{file}/x.json"],
        ["demo", "--out", "{file}/x"],
        ["masks", "{pictures}", "--backbone", "handcrafted", "--out", "{file}/x"],
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_written_is_one_line_without_a_traceback(
    capsys, copied, pictures, tmp_path, words
):
    file = tmp_path / "file"
    file.write_text("no folder")
    said = refused(
        capsys, *(word.format(pictures=pictures, run=copied, file=file) for word in words)
    )
    *_, last = said.splitlines()
    assert last.startswith(f"maskdistill {words[0]}: {file}")
    assert "cannot be written" in last


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"3", b"\xff\xfe\x00x", b"a: [1"], ids=str)
def test_a_config_that_is_none_is_told_without_a_traceback(capsys, copied, pictures, content):
    (copied / "config.yaml").write_bytes(content)
    for words in (
        ["status", copied],
        ["propose", copied],
        ["report", copied],
        ["run", "--out", copied],
        ["run", pictures, "--out", copied],
        ["scan", pictures, "--out", copied],
        ["export", copied, "--as", "coco"],
        ["predict", copied, pictures, "--out", copied / "new"],
    ):
        said = refused(capsys, *map(str, words))
        assert f"{copied / 'config.yaml'}: cannot be read" in said


@pytest.mark.parametrize("device", ["mps", "meta", "xpu:0"])
def test_a_device_that_cannot_do_all_stages_is_refused_before_the_first(
    capsys, pictures, tmp_path, device
):
    words = [
        "run",
        str(pictures),
        "--out",
        str(tmp_path / "run"),
        "--propose.backbone",
        "handcrafted",
    ]
    said = refused(capsys, *words, "--device", device)
    assert f"device: {device!r} cannot do all stages. Wanted: auto, cpu, cuda, cuda:N" in said
    assert not (tmp_path / "run" / "images.jsonl").exists()


def test_a_reader_that_stops_early_is_no_error(copied):
    words = [sys.executable, "-m", "maskdistill", "status", str(copied)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()  # as `| head` does, before the first line is there
        assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.parametrize(
    "words", [[], ["--version"], ["run", "--help"], ["run", "--help-all"], ["score", "--help"]]
)
def test_help_that_nobody_reads_is_no_error(words):
    reads, writes = os.pipe()
    os.close(reads)  # nobody is there any more, before the first line
    try:
        done = subprocess.run(
            [sys.executable, "-m", "maskdistill", *words],
            stdout=writes,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writes)
    assert (done.stderr, done.returncode) == ("", 0)


def test_what_the_system_refuses_is_one_line_wherever_it_happens(capsys, monkeypatch, tmp_path):
    for error, words in (
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            "/a/b: No space left on device. Free some space",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "status: Permission denied. See that it is there",
        ),
    ):

        def failing(error=error, **_):
            raise error

        monkeypatch.setattr(api, "status", failing)
        assert words in refused(capsys, "status", str(tmp_path))


@pytest.mark.parametrize(
    "verb, goes_on", [("masks", True), ("scan", True), ("status", False), ("report", False)]
)
def test_ctrl_c_says_that_the_same_command_goes_on_where_it_does(
    capsys, monkeypatch, copied, verb, goes_on
):
    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, verb, stopped)
    assert cli.main([verb, str(copied), *(["--out", str(copied / "x")] if goes_on else [])]) == 130
    said = capsys.readouterr().err
    assert said.startswith("\nstopped")
    assert ("the same command goes on where it was" in said) == goes_on


def test_flags_stand_above_the_file_and_the_file_above_the_preset(pictures, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("cluster: {k: 3, restarts: 2}\nlabel: {min_score: 0.33}")
    made = scanned(
        pictures, tmp_path / "out", "--preset", "demo", "--config", str(file), "--cluster.k=7"
    )
    assert made["cluster"]["k"] == 7
    assert made["cluster"]["restarts"] == 2
    assert made["label"] == {
        "min_score": 0.33,
        "keep_best": True,
        "keep_best_stage": True,
        "overlap": load_preset("demo")["label"]["overlap"],
        "shape": "mask",
        "unsure_score": 1.0,
    }  # file, default, preset
    assert made["detect"]["train"]["steps"] == load_preset("demo")["detect"]["train"]["steps"]
    assert made["preset"] == "demo"
    assert made["config"] == str(file)
    assert made["pictures"] == str(pictures.resolve())


def test_a_flag_given_at_its_default_stands_above_the_file(pictures, tmp_path):
    (tmp_path / "mine.yaml").write_text("cluster: {k: 3}\nseed: 4\nlabel: {keep_best: false}")
    flags = ["--config", str(tmp_path / "mine.yaml"), "--cluster.k", "0", "--seed", "0"]
    made = scanned(pictures, tmp_path / "out", *flags, "--label.keep-best")
    assert (made["cluster"]["k"], made["seed"], made["label"]["keep_best"]) == (0, 0, True)


def load_preset(name: str) -> dict[str, typing.Any]:
    from maskdistill.settings import preset

    return preset(name)


@pytest.mark.parametrize(
    "flags",
    [
        ["--preset", "demo", "--config", "{}", "--"],
        ["--preset=demo", "--config={}", "--"],
        ["--config={}", "--", "--preset=demo"],
        ["--preset", "demo", "--config", "{}"],
        ["--preset=quick", "--preset=demo", "--config", "{}"],
    ],
    ids=" ".join,
)
def test_preset_and_file_may_stand_before_or_behind_the_pictures_with_or_without_a_sign(
    pictures, tmp_path, flags
):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 6")
    made = scanned(pictures, tmp_path / "out", *(flag.format(file) for flag in flags))
    assert (made["preset"], made["cluster"]["k"], made["seed"]) == (
        "demo",
        load_preset("demo")["cluster"]["k"],
        6,
    )


def test_a_preset_named_in_the_file_is_used(pictures, tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: demo")
    made = scanned(pictures, tmp_path / "out", "--config", str(tmp_path / "mine.yaml"))
    assert (made["preset"], made["cluster"]["k"]) == ("demo", load_preset("demo")["cluster"]["k"])


def test_limit_takes_the_first_pictures(pictures, tmp_path):
    assert scanned(pictures, tmp_path / "out", "--limit", "2")["limit"] == 2
    rows = [
        json.loads(line) for line in (tmp_path / "out" / "images.jsonl").read_text().splitlines()
    ]
    assert [row["path"] for row in rows] == ["p0001.png", "p0002.png"]


def test_the_result_is_on_standard_output_and_progress_on_standard_error(
    pictures, tmp_path, capsys
):
    words = [
        "run",
        str(pictures),
        "--out",
        str(tmp_path / "out"),
        "--until",
        "scan",
        "--threads",
        "1",
    ]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}\n"
    assert "scan: 3/3 pictures" in said.err
    assert "about" not in said.err  # nothing that takes long is ahead
    assert cli.main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_the_time_that_is_expected_is_said_whenever_something_is_ahead(pictures, tmp_path, capsys):
    words = [
        "run",
        str(pictures),
        "--out",
        str(tmp_path / "out"),
        "--weights",
        "propose=handcrafted",
    ]
    assert cli.main([*words, "--until", "scan"]) == 0
    capsys.readouterr()
    for expected in (True, False):
        assert cli.main([*words, "--until", "propose"]) == 0
        assert ("3 pictures: less than a minute" in capsys.readouterr().err) == expected


def test_without_pictures_the_runs_own_settings_are_used(copied, pictures):
    before = config(copied)
    assert cli.main(["run", "--out", str(copied), "--until", "propose", "--quiet"]) == 0
    assert config(copied) == before
    assert before["propose"]["backbone"] == "handcrafted"  # no default, no preset: of the run
    assert (
        cli.main(
            ["run", f"--out={copied}", "--until", "propose", "--quiet", "--label.min-score", "0.2"]
        )
        == 0
    )
    assert config(copied) == {**before, "label": {**before["label"], "min_score": 0.2}}


def test_without_pictures_a_file_stands_above_the_runs_settings(copied, tmp_path):
    (tmp_path / "mine.yaml").write_text("label: {min_score: 0.25, overlap: below}")
    flags = ["--config", str(tmp_path / "mine.yaml"), "--label.overlap", "legacy"]
    assert cli.main(["run", "--out", str(copied), "--until", "propose", "--quiet", *flags]) == 0
    assert config(copied)["label"] == {
        "min_score": 0.25,
        "keep_best": True,
        "keep_best_stage": True,
        "overlap": "legacy",
        "shape": "mask",
        "unsure_score": 1.0,
    }
    assert config(copied)["propose"]["backbone"] == "handcrafted"


def test_a_preset_without_pictures_is_refused_rather_than_passed_over(copied, capsys):
    said = refused(capsys, "run", "--out", str(copied), "--preset", "demo")
    assert "its config.yaml stands in place of a preset. Give PICTURES too" in said
    assert (
        cli.main(["run", "--out", str(copied), "--preset", "quick", "--until", "scan", "--quiet"])
        == 0
    )


def test_a_stages_own_verb_takes_its_flags_without_prefix_over_those_of_the_run(copied, capsys):
    said = refused(capsys, "propose", str(copied), "--method", "maskdistill")
    assert "settings.method: tokencut -> maskdistill" in said
    assert "--from propose" in said
    assert cli.main(["propose", str(copied), "--method", "maskdistill", "--redo"]) == 0
    assert config(copied)["propose"]["method"] == "maskdistill"
    assert config(copied)["propose"]["backbone"] == "handcrafted"
    made = json.loads((copied / "propose" / "stage.json").read_text())
    assert made["parts"]["settings"]["method"] == "maskdistill"


def test_the_flags_of_a_stages_own_verb_may_stand_before_the_run(copied):
    words = ["propose", "--max-masks", "2", "--tokencut.threshold=0.1", str(copied), "--redo"]
    assert cli.main(words) == 0
    assert config(copied)["propose"]["max_masks"] == 2
    assert config(copied)["propose"]["tokencut"]["threshold"] == 0.1
    assert config(copied)["propose"]["backbone"] == "handcrafted"


def test_the_value_of_a_flag_is_never_taken_for_the_run(copied, tmp_path, capsys, monkeypatch):
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    assert (
        cli.main(
            ["run", "--out", str(other), "--until", "scan", "--quiet", "--cluster.restarts", "3"]
        )
        == 0
    )
    given = {}
    monkeypatch.setattr(api, "cluster", lambda **words: given.update(words))
    assert cli.main(["cluster", "--align-to", str(other), "--k", "3", str(copied)]) == 0
    assert given["out"] == copied
    assert (given["settings"].cluster.restarts, given["settings"].cluster.k) == (10, 3)
    capsys.readouterr()
    said = refused(capsys, "propose", "--method", "lost", str(tmp_path / "nosuch"))
    assert "nosuch: not the folder of a run" in said


def test_a_flag_of_another_stage_is_refused_by_a_stages_own_verb(copied, capsys):
    assert "Unrecognized options: --keep-best" in refused(
        capsys, "propose", str(copied), "--keep-best"
    )
    assert "Unrecognized" in refused(capsys, "propose", str(copied), "--propose.method", "tokencut")


def test_scan_alone_makes_a_run_that_the_other_verbs_go_on_with(pictures, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        cli.main(["scan", str(pictures), "--out", str(out), "--validation", "0.34", "--seed", "3"])
        == 0
    )
    assert capsys.readouterr().out == f"{out}\n"
    assert (config(out)["validation"], config(out)["seed"]) == ("0.34", 3)
    assert cli.main(["propose", str(out), "--backbone", "handcrafted", "--threads", "1"]) == 0
    assert json.loads((out / "propose" / "stage.json").read_text())["counts"]["pictures"] == 3
    capsys.readouterr()
    assert "--from scan" in refused(
        capsys, "scan", str(pictures), "--out", str(out), "--validation", "0.7"
    )
    assert (
        cli.main(["scan", str(pictures), "--out", str(out), "--validation", "0.7", "--redo"]) == 0
    )


def test_status_says_a_line_a_stage_and_why_one_is_stale(copied, capsys):
    assert cli.main(["status", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(
        r"scan +done +[\d.]+ s +pictures 3, train 3, validation 0, refused 0$", lines[0]
    )
    assert re.match(r"propose +done ", lines[1])
    assert re.match(r"cluster +missing", lines[2])
    assert (
        cli.main(
            ["run", "--out", str(copied), "--until", "scan", "--quiet", "--propose.max-masks", "1"]
        )
        == 0
    )
    capsys.readouterr()
    assert cli.main(["status", str(copied)]) == 0
    assert "    settings.max_masks: 6 -> 1" in capsys.readouterr().out.splitlines()


def test_the_same_ground_truth_given_again_is_one(copied, pictures):
    words = ["evaluate", str(copied), "--ground-truth", str(pictures.parent / "truth.json")]
    assert cli.main(words) == 0
    first = (copied / "evaluate" / "metrics.json").read_bytes()
    assert len(json.loads(first)["metrics"]) > 0
    assert cli.main(words) == 0
    assert config(copied)["ground_truth"] == [str(pictures.parent / "truth.json")]
    assert (copied / "evaluate" / "metrics.json").read_bytes() == first


def test_another_ground_truth_takes_the_place_of_a_wrong_one(copied, pictures, tmp_path):
    right = str(pictures.parent / "truth.json")
    written = yaml.safe_dump({**config(copied), "ground_truth": [str(tmp_path / "nosuch.json")]})
    (copied / "config.yaml").write_text(written, encoding="utf-8")
    assert cli.main(["evaluate", str(copied), "--ground-truth", right]) == 0
    assert config(copied)["ground_truth"] == [right]
    assert (
        cli.main(["evaluate", str(copied), "--ground-truth", right, "--ground-truth", right]) == 0
    )
    assert config(copied)["ground_truth"] == [right]
    assert cli.main(["evaluate", str(copied), "--ground-truth", ""]) == 0
    assert config(copied)["ground_truth"] == []


def test_evaluate_and_report_leave_the_settings_that_the_run_was_made_with(
    copied, pictures, capsys
):
    before, right = config(copied), str(pictures.parent / "truth.json")
    words = [
        "evaluate",
        str(copied),
        "--ground-truth",
        right,
        "--seed",
        "3",
        "--seeds",
        "2",
        "--bootstrap",
        "7",
    ]
    assert cli.main(words) == 0
    made = {**before, "ground_truth": [right], "evaluate": {**before["evaluate"], "bootstrap": 7}}
    assert config(copied) == made
    capsys.readouterr()
    assert cli.main(["report", str(copied), "--tiles", "2", "--threads", "1"]) == 0
    assert config(copied) == {**made, "report": {**made["report"], "tiles": 2}}
    assert {
        row["state"] for row in api.status(out=copied) if row["stage"] in ("scan", "propose")
    } == {"done"}
    capsys.readouterr()
    assert "Unrecognized options: --seed" in refused(capsys, "report", str(copied), "--seed", "3")
    assert "Unrecognized options: --weights" in refused(
        capsys, "evaluate", str(copied), "--weights", "propose=none"
    )


def test_ground_truth_that_is_not_there_is_told_before_the_first_stage(capsys, pictures, tmp_path):
    out, empty = tmp_path / "run", tmp_path / "empty"
    empty.mkdir()
    for source, said in (
        ("nosuch.json", "nosuch.json: no such file or folder"),
        (str(empty), "empty: holds no .png"),
    ):
        assert said in refused(
            capsys, "run", str(pictures), "--out", str(out), "--ground-truth", source
        )
        assert not (out / "images.jsonl").exists()


def test_export_writes_the_file_that_it_names(copied, tmp_path, capsys):
    target = tmp_path / "masks.json"
    assert (
        cli.main(["export", str(copied), "--as", "coco", "--of", "proposals", "--out", str(target)])
        == 0
    )
    assert capsys.readouterr().out == f"{target}\n"
    assert len(json.loads(target.read_text())["images"]) == 3


def test_a_file_in_the_place_of_a_run_is_refused(capsys, pictures, tmp_path):
    (tmp_path / "afile").touch()
    assert "is a file, where the folder of a run is wanted" in refused(
        capsys, "run", str(pictures), "--out", str(tmp_path / "afile")
    )


def test_a_file_in_the_place_of_the_pictures_is_refused(capsys, tmp_path):
    (tmp_path / "afile").touch()
    told = refused(capsys, "run", str(tmp_path / "afile"), "--out", str(tmp_path / "run"))
    assert "afile: is a file. Give a folder with pictures" in told


def test_a_verb_over_what_is_no_run_says_so(capsys, tmp_path):
    for verb in ("propose", "evaluate"):
        assert "not the folder of a run (no config.yaml)" in refused(capsys, verb, str(tmp_path))


def test_masks_looks_for_the_pictures_before_the_weights(capsys, tmp_path):
    told = refused(capsys, "masks", str(tmp_path / "nosuch"), "--out", str(tmp_path / "masks"))
    assert "nosuch: not a folder" in told


def test_masks_has_no_flags_that_it_has_no_use_for(capsys, pictures, tmp_path):
    for flag in ("--import", "--import-top", "--gpu-batch"):
        said = refused(capsys, "masks", str(pictures), "--out", str(tmp_path / "masks"), flag, "3")
        assert f"Unrecognized options: {flag}" in said
    assert not (tmp_path / "masks").exists()


def test_what_a_mistaken_flag_said_is_not_kept(capsys, copied):
    before = (copied / "config.yaml").read_bytes()
    assert "nosuch.json" in refused(
        capsys, "evaluate", str(copied), "--ground-truth", "nosuch.json"
    )
    assert (copied / "config.yaml").read_bytes() == before
    assert "no such folder" in refused(capsys, "run", "nosuch", "--out", str(copied))
    assert (copied / "config.yaml").read_bytes() == before


def test_a_run_of_detections_is_refused_and_the_verb_makes_them_count(capsys, pictures, tmp_path):
    words = ["run", str(pictures), "--out", str(tmp_path / "out"), "--cluster.of", "detections"]
    assert "Give --cluster.again" in refused(capsys, *words)


def test_a_late_mistake_leaves_the_settings_that_earlier_stages_were_made_with(
    capsys, copied, tmp_path
):
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "other.pth")
    words = ["run", "--out", str(copied), "--until", "cluster", "--quiet", "--from", "propose"]
    flags = ["--propose.max-masks", "2", "--weights", f"cluster={tmp_path / 'other.pth'}"]
    said = refused(
        capsys,
        *words,
        *flags,
        "--cluster.embedding",
        "class_token",
        "--cluster.backbone",
        "dino_vits16",
    )
    assert "not the weights of dino_vits16" in said
    assert config(copied)["propose"]["max_masks"] == 2  # proposals were made with it
    assert {row["stage"]: row["state"] for row in api.status(out=copied)}["propose"] == "done"
