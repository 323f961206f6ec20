"""A stage that is not complete: with what it was begun, on which machines, what came of it so far.

In, out:  the stage's parts/
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskdistill.runs import atomic
from maskdistill.runs.layout import StageFolder


def begin(folder: StageFolder, parts: Mapping[str, Any]) -> float:
    """Make the folder of a stage ready to be worked at, or to be gone on with.

    Returns:
        Seconds that were worked at it before, in sittings that were stopped.
    Raises:
        RunError: it cannot be written.
    """
    atomic.make_folder(folder.parts.path)
    atomic.sweep(folder.path)
    before = _seconds(folder)
    atomic.write_json(folder.parts.plan, parts)
    atomic.write_json(folder.parts.seconds, {"before": before, "began": time.time()})
    return before


def plan(folder: StageFolder) -> dict[str, Any] | None:
    """Return what its fingerprint was made of when it was begun; None where it is not begun."""
    path = folder.parts.plan
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def machines(folder: StageFolder, now: str) -> list[str]:
    """Note on what a stage is worked at now, and return all machines so far.

    More than one device or thread count, and the last bits of its results are mixed.
    """
    path = folder.parts.machines
    seen = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if now not in seen:
        atomic.write_json(path, [*seen, now])
    return list(dict.fromkeys([*seen, now]))


def is_worth_resuming(folder: StageFolder) -> bool:
    """Return whether there is more than how it was begun: a record in a journal, a checkpoint."""
    return any(path.stat().st_size for path in _made(folder))


def _seconds(folder: StageFolder) -> float:
    """Return the time worked until the last file was written: a kill leaves no word of its time."""
    path = folder.parts.seconds
    if not path.exists():
        return 0.0
    last = json.loads(path.read_text(encoding="utf-8"))
    written = max((file.stat().st_mtime for file in _made(folder)), default=0.0)
    return round(last["before"] + max(0.0, written - last["began"]), 3)


def _made(folder: StageFolder) -> list[Path]:
    begun_with = folder.parts.begun_with()
    return [
        path for path in folder.parts.path.rglob("*") if path.is_file() and path not in begun_with
    ]
