"""Kill a detector on tokens in its training and among its detections; it ends with the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import maskdistill
from maskdistill.runs.layout import RunFolder
from maskdistill.workflows import demo_pictures
from tests.chaos.test_kill import kill_in

N_PICTURES, KILLED_AT = 24, 15
SETTINGS = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {
        "backbone": "timm/test_vit",
        "method": "lost",  # which finds a mask in any picture
        "pixels": "nearest",
        "min_score": 0.0,
        "stop_score": 0.0,
        "lost": {"short_side": 0},
    },
    "cluster": {"k": 4, "again_min_score": 0.0},
    "detect": {
        "min_score": 0.0,
        "max_detections": 10,
        "train": {"steps": 30, "batch": 2, "checkpoint_seconds": 0},
    },
}


def files_of(out: Path) -> dict[str, bytes]:
    folder = out / "detect"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["all", "none"])
def test_a_detector_on_tokens_that_is_killed_ends_with_the_same_bytes(tmp_path, keep):
    demo_pictures.write(
        tmp_path / "pictures",
        tmp_path / "truth.json",
        n_pictures=N_PICTURES,
        seed=3,
        size=(64, 80),
    )
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(maskdistill.__file__).parents[1]),
    }
    launcher = Path(__file__).with_name("launched.py")

    def command(out: Path, parts: Path | None = None) -> list[str]:
        words = ["run", str(tmp_path / "pictures"), "--out", str(out), "--until", "detect"]
        words += ["--config", str(tmp_path / "settings.yaml"), "--features.keep", keep]
        log = str(tmp_path / "log")
        return [sys.executable, str(launcher), str(parts), str(KILLED_AT), log, *words]

    def ended(words: list[str]) -> int:
        return subprocess.run(words, env=environment, capture_output=True).returncode

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert ended(command(whole)) == 0
    assert kill_in(command(killed), killed, "detect/train", environment)
    assert ended(command(killed, RunFolder(killed).detect.parts.path)) == -signal.SIGKILL
    assert (killed / "detect" / "train" / "stage.json").exists()
    assert not (killed / "detect" / "stage.json").exists()
    assert ended(command(killed)) == 0
    assert files_of(killed) == files_of(whole)
