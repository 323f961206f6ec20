"""What a stage made before, kept in old/ while it is made again, and brought back where nothing comes of that.

Only a complete result is worth keeping: an unfinished attempt never takes the place of one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Container, Iterator
from pathlib import Path

from maskdistill.runs import atomic, fingerprints, record
from maskdistill.runs.layout import RunFolder


def retire(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Move what a stage made to old/; an unfinished attempt is dropped where old/ has a complete result.

    Args:
        keeps: sub-folders that belong to another stage: they stay.
    """
    place, old = folder.stage(name), RunFolder(folder.old).stage(name)
    if (old / "stage.json").exists() and not (place / "stage.json").exists():
        _clear(place, keeps)
        return
    _clear(old, keeps)
    atomic.make_folder(old)
    # stage.json goes first: a folder without it is never taken for a complete one.
    for path in sorted(_entries(place, keeps), key=lambda path: path.name != "stage.json"):
        path.rename(old / path.name)


def kept(folder: RunFolder, name: str) -> record.StageRecord | None:
    """The record of what can be brought back: complete, its outputs with the recorded bytes; else None."""
    entry = record.read(RunFolder(folder.old).stage(name) / "stage.json")
    if entry is None or not all(
        _is_whole(folder, name, output, sha256) for output, sha256 in entry.outputs.items()
    ):
        return None
    return entry


def bring_back(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Put what was retired in the place of an attempt; what is `kept` comes back even after a kill on the way."""
    place, old = folder.stage(name), RunFolder(folder.old).stage(name)
    if (place / "parts").exists():
        # parts/ goes last: it says that what lies beside it is of the attempt, and not brought back already.
        _clear(place, keeps)
    for path in sorted(_entries(old, keeps), key=lambda path: path.name in ("stage.json", "parts")):
        _remove(place / path.name)
        path.rename(place / path.name)
    forget(folder, name, keeps=keeps)


def forget(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Remove what a complete stage replaced."""
    old = RunFolder(folder.old).stage(name)
    _clear(old, keeps)
    for path in (old, *old.parents):
        if path == folder.root:
            break
        with contextlib.suppress(OSError):  # it holds what another stage replaces
            path.rmdir()


def _is_whole(folder: RunFolder, name: str, output: str, sha256: str) -> bool:
    """Whether an output lies in old/, or still or again in its place, as it was recorded."""
    old = RunFolder(folder.old)
    here, path = folder.base(name) / output, old.base(name) / output
    if not path.is_relative_to(
        old.stage(name)
    ):  # images.jsonl lies beside scan/ and is never moved
        path = here
    else:
        top = path.relative_to(old.stage(name)).parts[0]
        is_attempt = (folder.stage(name) / "parts").exists()
        # A kill came on the way: what is not in old/ has not gone yet, or is back already.
        path = here if not is_attempt and not (old.stage(name) / top).exists() else path
    return path.is_file() and fingerprints.sha256_file(path) == sha256


def _entries(place: Path, keeps: Container[str]) -> Iterator[Path]:
    if place.is_dir():
        yield from [path for path in place.iterdir() if path.name not in keeps]


def _clear(place: Path, keeps: Container[str]) -> None:
    """Remove everything but what belongs to another stage; stage.json first, parts/ last."""
    for path in sorted(
        _entries(place, keeps), key=lambda path: (path.name == "parts", path.name != "stage.json")
    ):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
