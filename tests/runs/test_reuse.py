"""runs/taken.py: outputs of another run come whole, or the folder stays as it was."""

import errno
import os
from pathlib import Path

import pytest

from maskdistill.errors import RunError
from maskdistill.runs import fingerprints, reuse
from maskdistill.runs.record import StageRecord


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "label"
    (folder / "maps").mkdir(parents=True)
    for name in ("coverage.json", "maps/1.png", "maps/3.png"):
        (folder / name).write_text(f"new {name}")
    (folder / "unlisted.txt").write_text("no output")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """With what a kill left behind, and what belongs to another stage."""
    folder = tmp_path / "b" / "label"
    (folder / "maps").mkdir(parents=True)
    (folder / "train").mkdir()
    for name in ("coverage.json", "maps/1.png", "maps/2.png", "train/model"):
        (folder / name).write_text(f"old {name}")
    return folder


def entry_of(folder: Path) -> StageRecord:
    names = ("coverage.json", "maps/1.png", "maps/3.png")
    outputs = {name: fingerprints.sha256_file(folder / name) for name in names}
    return StageRecord(
        stage="label", version=1, fingerprint="", parts={}, outputs=outputs, mixed=False, counts={}
    )


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_outputs_replace_what_is_there_and_leave_the_rest(source, target):
    before = contents(source)
    assert reuse.take(source, entry_of(source), target, waiting=target / "parts" / "taken") == 3
    new = {name: f"new {name}" for name in ("coverage.json", "maps/1.png", "maps/3.png")}
    assert contents(target) == {**new, "train/model": "old train/model"}
    assert contents(source) == before
    assert list((target / "parts").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_without_links_they_are_copied(source, target, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    assert reuse.take(source, entry_of(source), target, waiting=target / "parts" / "taken") == 0
    assert contents(target)["maps/3.png"] == "new maps/3.png"
    assert not (target / "maps" / "3.png").samefile(source / "maps" / "3.png")


def test_a_missing_or_changed_output_is_named_and_nothing_comes(source, target):
    entry, before = entry_of(source), contents(target)
    (source / "maps" / "3.png").unlink()
    (source / "maps" / "1.png").write_text("other")
    with pytest.raises(
        RunError, match=r"cannot be reused: maps/1\.png, maps/3\.png missing or changed"
    ):
        reuse.take(source, entry, target, waiting=target / "parts" / "taken")
    assert contents(target) == before
    assert not (target / "parts" / "taken").exists()


def test_a_full_disk_leaves_the_folder_as_it_was(source, target, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "no links")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(target)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(reuse.shutil, "copyfileobj", full)
    with pytest.raises(RunError, match="Free some space"):
        reuse.take(source, entry_of(source), target, waiting=target / "parts" / "taken")
    assert contents(target) == before
    assert not (target / "parts" / "taken").exists()


def test_what_waits_from_a_kill_before_is_not_taken(source, target):
    waiting = target / "parts" / "taken"
    (waiting / "maps").mkdir(parents=True)
    (waiting / "maps" / "7.png").write_text("of another call")
    reuse.take(source, entry_of(source), target, waiting=waiting)
    assert "maps/7.png" not in contents(target)
