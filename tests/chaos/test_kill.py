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

from maskdistill.datasets import synthetic
from maskdistill.runs import record

STAGES = ("scan", "propose", "cluster", "detect/train", "detect", "recluster", "label", "segment/train", "segment")
SETTINGS = {
    "threads": 1,
    "propose": {"backbone": "handcrafted"},
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


def begun(run: Path, stage: str) -> bool:
    """Whether a stage has something to lose: a record in its journal, or a checkpoint."""
    parts = run / stage / "parts"
    if stage.endswith("/train"):
        return any(parts.glob("step-*.pt"))
    return parts.exists()


def outputs(run: Path) -> dict[str, str]:
    """SHA-256 of every output of every stage, and of the records themselves."""
    found = {}
    for stage in STAGES:
        entry = record.read(run / stage / "stage.json")
        assert entry is not None, f"{stage} is not complete"
        root = run if stage == "scan" else run / stage
        found |= {f"{stage}:{name}": hashlib.sha256((root / name).read_bytes()).hexdigest() for name in entry.outputs}
        found[f"{stage}:stage.json"] = hashlib.sha256((run / stage / "stage.json").read_bytes()).hexdigest()
    return found


def kill_in(command: list[str], run: Path, stage: str, environment: dict[str, str]) -> bool:
    """Start a command and kill it as soon as a stage of a run has begun; whether the stage was then unfinished."""
    hit = False
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not begun(run, stage):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            hit = (run / stage / "parts").exists() and not (run / stage / "stage.json").exists()
        process.wait()
    return hit


def prepared(tmp_path: Path, *flags: str) -> tuple[Callable[[Path], list[str]], dict[str, str]]:
    """The command of a run over drawn pictures by the folder of its run, and its environment."""
    pictures = tmp_path / "pictures"
    synthetic.write(pictures, tmp_path / "truth.json", n_pictures=24, seed=3, size=(64, 80))
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(out: Path) -> list[str]:
        words = ["run", str(pictures), "--out", str(out), "--config", str(config), "--until", "segment", *flags]
        return [sys.executable, "-m", "maskdistill.cli", *words]

    return command, environment


@pytest.mark.slow
def test_a_run_that_is_killed_once_in_every_stage_ends_with_the_same_bytes(tmp_path: Path) -> None:
    command, environment = prepared(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    kills = sum(kill_in(command(killed), killed, stage, environment) for stage in STAGES)
    # A short stage may end between the look and the signal; most must have been hit in the middle.
    assert kills >= len(STAGES) - 3, f"only {kills} kills hit a stage at work"
    done = subprocess.run(command(killed), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert outputs(killed) == outputs(whole)


@pytest.mark.slow
def test_seeds_that_are_killed_in_their_trainings_end_with_the_same_bytes(tmp_path: Path) -> None:
    command, environment = prepared(tmp_path, "--seeds", "2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    again = killed / "seeds" / "1"
    kills = sum(kill_in(command(killed), again, stage, environment) for stage in ("detect/train", "segment/train"))
    assert kills
    done = subprocess.run(command(killed), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for run in (Path(), Path("seeds/0"), Path("seeds/1")):
        assert outputs(killed / run) == outputs(whole / run), run
