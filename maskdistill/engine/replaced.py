"""Replaced results: kept in old/ while they are made again, brought back where nothing comes of it.

Only a complete result is worth keeping: an unfinished attempt never takes the place of one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Container, Iterator
from pathlib import Path

from maskdistill.runs import atomic, fingerprints, record
from maskdistill.runs.layout import RunFolder, StageFolder


def retire(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Move what a stage made to old/; an unfinished attempt is dropped where old/ has a result.

    Args:
        name: of the stage.
        keeps: names of sub-folders that belong to another stage: they stay.
    """
    place, old = folder.stage(name), folder.old.stage(name)
    if old.record.exists() and not place.record.exists():
        _clear(place, keeps)
        return
    _clear(old, keeps)
    atomic.make_folder(old.path)
    # stage.json goes first: a folder without it is never taken for a complete one.
    for path in sorted(_entries(place, keeps), key=lambda path: path != place.record):
        path.rename(old.path / path.name)


def kept(folder: RunFolder, name: str) -> record.StageRecord | None:
    """Return the record of a retired result that is complete and whole, None without one."""
    entry = record.read(folder.old.stage(name).record)
    if entry is None:
        return None
    is_whole = all(_is_whole(folder, name, *output) for output in entry.outputs.items())
    return entry if is_whole else None


def bring_back(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Put a retired result, which must be `kept`, in the place of an attempt, also after a kill."""
    place, old = folder.stage(name), folder.old.stage(name)
    if place.parts.path.exists():
        # parts/ goes last: it says that what lies beside it is of the attempt, and not brought back
        # already.
        _clear(place, keeps)
    last = (old.record, old.parts.path)
    for path in sorted(_entries(old, keeps), key=lambda path: path in last):
        _remove(place.path / path.name)
        path.rename(place.path / path.name)
    forget(folder, name, keeps=keeps)


def forget(folder: RunFolder, name: str, *, keeps: Container[str]) -> None:
    """Remove from old/ what a complete stage replaced."""
    old = folder.old.stage(name)
    _clear(old, keeps)
    for path in (old.path, *old.path.parents):
        if path == folder.root:
            break
        with contextlib.suppress(OSError):  # it holds what another stage replaces
            path.rmdir()


def _is_whole(folder: RunFolder, name: str, output: str, sha256: str) -> bool:
    """Return whether an output lies in old/, or still or again in its place, as it was recorded."""
    place, old = folder.stage(name), folder.old.stage(name)
    here, path = place.base / output, old.base / output
    if not path.is_relative_to(old.path):  # images.jsonl lies beside scan/ and is never moved
        path = here
    else:
        top = path.relative_to(old.path).parts[0]
        is_attempt = place.parts.path.exists()
        # A kill came on the way: what is not in old/ has not gone yet, or is back already.
        path = here if not is_attempt and not (old.path / top).exists() else path
    return path.is_file() and fingerprints.sha256_file(path) == sha256


def _entries(place: StageFolder, keeps: Container[str]) -> Iterator[Path]:
    if place.path.is_dir():
        yield from [path for path in place.path.iterdir() if path.name not in keeps]


def _clear(place: StageFolder, keeps: Container[str]) -> None:
    """Remove everything but what belongs to another stage; stage.json first, parts/ last."""
    first, last = place.record, place.parts.path
    for path in sorted(_entries(place, keeps), key=lambda path: (path == last, path != first)):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
