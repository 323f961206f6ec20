"""`masks` killed in the middle of a folder, several times; the same command again ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskdistill.workflows import demo_pictures

N_PICTURES = 24


def outputs(out: Path) -> dict[str, bytes]:
    """Every file by its bytes, the lock aside, which says who held it last."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_masks_that_are_killed_on_the_way_end_with_the_same_bytes(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    demo_pictures.write(
        pictures, tmp_path / "truth.json", n_pictures=N_PICTURES, seed=3, size=(96, 120)
    )
    (pictures / "bad.jpg").write_bytes(b"no picture")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(out: Path) -> list[str]:
        flags = ["--backbone", "handcrafted", "--threads", "1", "--separate"]
        return [
            sys.executable,
            "-m",
            "maskdistill",
            "masks",
            str(pictures),
            "--out",
            str(out),
            *flags,
        ]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        command(whole), check=True, env=environment, capture_output=True, text=True
    )
    assert f"pictures {N_PICTURES}, " in done.stdout
    assert "refused 1" in done.stdout
    kills = 0
    for wanted in (1, 8, 16):
        with subprocess.Popen(
            command(killed), env=environment, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and len(list(killed.glob("*.json"))) < wanted:
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        assert len(list(killed.glob("*.json"))) < N_PICTURES
    assert kills == 3
    done = subprocess.run(
        command(killed), check=True, env=environment, capture_output=True, text=True
    )
    assert "done before" in done.stdout
    assert outputs(killed) == outputs(whole)
