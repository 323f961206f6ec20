"""Kill a run while masks are pooled; the same command again ends with the same bytes."""

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

SETTINGS = {
    "threads": 1,
    "weights": ["propose=none"],
    "features": {"keep": "all", "short_side": 64},
    "propose": {
        "backbone": "timm/test_vit",
        "pixels": "nearest",
        "method": "lost",
        "min_score": 0.0,
        "pool": {"methods": ["lost", "tokencut"], "blocks": [-1, -2], "scales": [1.0, 1.5]},
    },
}


@pytest.mark.slow
def test_a_pool_that_is_killed_on_the_way_ends_with_the_same_bytes(tmp_path):
    pictures = tmp_path / "pictures"
    demo_pictures.write(pictures, tmp_path / "truth.json", n_pictures=12, seed=3, size=(64, 80))
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    launcher = Path(__file__).with_name("launched.py")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(maskdistill.__file__).parents[1]),
    }

    def do(out: Path, parts: Path | None = None) -> None:
        words = ["run", str(pictures), "--out", str(out), "--until", "propose"]
        words += ["--config", str(tmp_path / "settings.yaml")]
        log = str(tmp_path / "log")
        done = subprocess.run(
            [sys.executable, str(launcher), str(parts), "7", log, *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == (0 if parts is None else -signal.SIGKILL), done.stderr

    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    do(whole.root)
    do(killed.root, killed.propose.parts.path)
    assert killed.propose.parts.path.exists()
    assert not killed.propose.pool.exists()
    do(killed.root)
    assert not killed.propose.parts.path.exists()
    for name in ("masks", "pool", "record"):
        first, second = (getattr(folder.propose, name).read_bytes() for folder in (whole, killed))
        assert first == second
    assert b'"scale": 1.5' in whole.propose.pool.read_bytes() or b'"scale":1.5' in (
        whole.propose.pool.read_bytes()
    )
