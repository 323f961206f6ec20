"""Kill a run while tokens are kept, in either pass; the same command again ends with the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import maskdistill
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import RunFolder
from maskdistill.workflows import demo_pictures

N_PICTURES, KILLED_AT = 24, 15
SETTINGS = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {
        "backbone": "timm/test_vit",
        "pixels": "nearest",
        "method": "maskdistill",
        "maskdistill": {"short_side": 0},
    },
    "features": {"blocks": [-2, -1]},
}


@pytest.fixture
def command(tmp_path):
    """Do `run --until propose` by its folder and what it keeps; killed in a journal, where one is named."""
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

    def do(out: Path, keep: str = "all", *, parts: Path | None = None) -> list[int]:
        """Return the keys that were added to the journal of what is kept."""
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        words = ["run", str(tmp_path / "pictures"), "--out", str(out), "--until", "propose"]
        words += ["--config", str(tmp_path / "settings.yaml"), "--features.keep", keep]
        done = subprocess.run(
            [sys.executable, str(launcher), str(parts), str(KILLED_AT), str(log), *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == (0 if parts is None else -signal.SIGKILL), done.stderr
        journal = RunFolder(out).propose_features.begun.parts.path
        rows = [line.rpartition(" ") for line in log.read_text().splitlines()]
        return [int(key) for place, _, key in rows if place == str(journal)]

    return do


def files_of(out: Path) -> dict[str, bytes]:
    folder = out / "propose"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["of the proposals", "of the tokens"])
@pytest.mark.parametrize("looks", ["the pass of the proposals", "a pass of their own"])
def test_tokens_that_are_killed_on_the_way_end_with_the_same_bytes(
    tmp_path, command, journal, looks
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert sorted(command(whole)) == list(range(1, N_PICTURES + 1))
    folder = RunFolder(killed)
    own = looks == "a pass of their own"
    if own:
        assert command(killed, "none") == []
    first = folder.propose_features if own else folder.propose
    parts = (folder.propose_features.begun if journal == "of the tokens" else first).parts
    command(killed, parts=parts.path)
    with Journal(folder.propose_features.begun.parts.path) as kept:
        before = set(kept.done)
    again = command(killed)
    assert not before & set(again)
    assert sorted(before | set(again)) == list(range(1, N_PICTURES + 1))
    # The other journal may be two seconds behind.
    assert len(before) == KILLED_AT or journal == "of the proposals"
    assert files_of(killed) == files_of(whole)
