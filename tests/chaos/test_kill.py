"""Kill each stage once, in the middle; the same command again ends with the same bytes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import maskdistill
from maskdistill.runs import record
from maskdistill.runs.journal import Journal
from maskdistill.stage_parts.embeddings import TOGETHER
from maskdistill.workflows import demo_pictures

STAGES = (
    "scan",
    "propose",
    "cluster",
    "detect/train",
    "detect",
    "recluster",
    "label",
    "segment/train",
    "segment",
)
TRAININGS = ("detect/train", "segment/train")
KILLED_AT = 18  # of 24 pictures
SETTINGS = {
    "threads": 1,
    "propose": {
        "backbone": "handcrafted",
        "method": "maskdistill",
    },  # which finds masks in small pictures too
    "cluster": {"k": 4, "again": True, "again_min_score": 0.0},
    "label": {"min_score": 0.05, "overlap": "below"},
    "detect": {
        "short_side": 64,
        "max_side": 96,
        "max_detections": 10,
        "min_score": 0.0,
        "train": {"steps": 30, "batch": 2, "checkpoint_seconds": 0},
    },
    "segment": {"side": 64, "train": {"steps": 30, "batch": 2, "checkpoint_seconds": 0}},
}


def outputs(run: Path) -> dict[str, str]:
    """SHA-256 of every output of every stage, and of the records themselves."""
    found = {}
    for stage in STAGES:
        entry = record.read(run / stage / "stage.json")
        assert entry is not None, f"{stage} is not complete"
        root = run if stage == "scan" else run / stage
        found |= {
            f"{stage}:{name}": hashlib.sha256((root / name).read_bytes()).hexdigest()
            for name in entry.outputs
        }
        found[f"{stage}:stage.json"] = hashlib.sha256(
            (run / stage / "stage.json").read_bytes()
        ).hexdigest()
    return found


def kill_in(command: list[str], run: Path, stage: str, environment: dict[str, str]) -> bool:
    """Start a command and kill it at the first checkpoint of a training; whether that was then unfinished."""
    hit = False
    parts = run / stage / "parts"
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not any(parts.glob("step-*.pt")):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            hit = parts.exists() and not (run / stage / "stage.json").exists()
        process.wait()
    return hit


def launched(command: list[str], log: Path, *, parts: Path | None = None) -> list[str]:
    """The same command, which writes each record of a journal to a log, and kills itself in one of them."""
    launcher = Path(__file__).with_name("launched.py")
    return [sys.executable, str(launcher), str(parts), str(KILLED_AT), str(log), *command[3:]]


def killed_at(
    command: list[str], run: Path, stage: str, log: Path, environment: dict[str, str]
) -> None:
    """Start a command that kills itself when the journal of a stage holds KILLED_AT records."""
    parts = run / stage / "parts"
    done = subprocess.run(
        launched(command, log, parts=parts), env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, f"{stage}: {done.stderr}"
    with Journal(parts) as journal:
        assert len(journal) == KILLED_AT


def added(log: Path, run: Path, stage: str) -> list[int]:
    """Keys of the records that a command added to the journal of a stage, in order."""
    rows = [line.rpartition(" ") for line in log.read_text().splitlines()] if log.exists() else []
    return [int(key) for parts, _, key in rows if parts == str(run / stage / "parts")]


def prepared(tmp_path: Path, *flags: str) -> tuple[Callable[[Path], list[str]], dict[str, str]]:
    """The command of a run over drawn pictures by the folder of its run, and its environment."""
    pictures = tmp_path / "pictures"
    demo_pictures.write(pictures, tmp_path / "truth.json", n_pictures=24, seed=3, size=(64, 80))
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(maskdistill.__file__).parents[1]),
    }

    def command(out: Path) -> list[str]:
        words = [
            "run",
            str(pictures),
            "--out",
            str(out),
            "--config",
            str(config),
            "--until",
            "segment",
            *flags,
        ]
        return [sys.executable, "-m", "maskdistill", *words]

    return command, environment


@pytest.mark.slow
def test_a_run_that_is_killed_once_in_every_stage_ends_with_the_same_bytes(tmp_path: Path) -> None:
    command, environment = prepared(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    logs = {stage: tmp_path / f"{number}.log" for number, stage in enumerate(STAGES)}
    hits = 0
    for stage in STAGES:
        if stage in TRAININGS:
            hits += kill_in(launched(command(killed), logs[stage]), killed, stage, environment)
        else:
            killed_at(command(killed), killed, stage, logs[stage], environment)
    assert hits  # a training may end between the look and the signal
    done = subprocess.run(
        launched(command(killed), tmp_path / "last.log"),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert outputs(killed) == outputs(whole)
    then = dict(zip(STAGES, [*list(logs.values())[1:], tmp_path / "last.log"], strict=True))
    for stage in STAGES:
        if stage not in TRAININGS:
            before, after = added(logs[stage], killed, stage), added(then[stage], killed, stage)
            assert len(before) == KILLED_AT
            assert len(set(before + after)) > KILLED_AT, f"{stage}: it was killed at its end"
            # Of pictures that are seen together those that were not whole are done again: the first ones were.
            assert not set(before[:TOGETHER]) & set(after), (
                f"{stage}: its journal was not gone on with"
            )


@pytest.mark.slow
def test_seeds_that_are_killed_in_their_trainings_end_with_the_same_bytes(tmp_path: Path) -> None:
    command, environment = prepared(tmp_path, "--seeds", "2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    again = killed / "seeds" / "1"
    kills = sum(
        kill_in(command(killed), again, stage, environment)
        for stage in ("detect/train", "segment/train")
    )
    assert kills
    done = subprocess.run(command(killed), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for run in (Path(), Path("seeds/0"), Path("seeds/1")):
        assert outputs(killed / run) == outputs(whole / run), run
