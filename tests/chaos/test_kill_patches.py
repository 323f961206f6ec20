"""Kill the training and the predictions of a head on tokens; the same command again ends with the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import maskdistill
from maskdistill.workflows import demo_pictures
from tests.chaos import test_kill

STAGES = ("label", "segment/train", "segment")
SETTINGS = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {"backbone": "timm/test_vit"},
    "features": {"blocks": [-2, -1]},
    "label": {"min_score": 0.0, "overlap": "below"},
    "segment": {
        "size": "backbone",
        "patch_head": {"hidden": 16, "batch": 64},
        "train": {"steps": 60, "checkpoint_seconds": 0},
    },
}


@pytest.mark.slow
def test_a_head_that_is_killed_in_its_training_and_its_predictions_ends_with_the_same_bytes(
    tmp_path: Path,
) -> None:
    pictures, truth = tmp_path / "pictures", tmp_path / "truth.json"
    demo_pictures.write(pictures, truth, n_pictures=24, seed=3, size=(64, 80))
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump({**SETTINGS, "detect": {"import_file": str(truth)}}))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(maskdistill.__file__).parents[1]),
    }

    def command(out: Path) -> list[str]:
        words = ["run", str(pictures), "--out", str(out), "--config", str(config)]
        return [sys.executable, "-m", "maskdistill", *words, "--until", "segment"]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    hit = test_kill.kill_in(command(killed), killed, "segment/train", environment)
    assert hit, "the training ended before it was killed"
    log = tmp_path / "log"
    test_kill.killed_at(command(killed), killed, "segment", log, environment)
    last = tmp_path / "last"
    done = subprocess.run(
        test_kill.launched(command(killed), last), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        for name in json.loads((whole / stage / "stage.json").read_text())["outputs"]:
            assert (killed / stage / name).read_bytes() == (whole / stage / name).read_bytes(), name
        record = f"{stage}/stage.json"
        assert (killed / record).read_bytes() == (whole / record).read_bytes()
    before, after = (test_kill.added(each, killed, "segment") for each in (log, last))
    assert len(before) == test_kill.KILLED_AT
    assert not set(before) & set(after)
