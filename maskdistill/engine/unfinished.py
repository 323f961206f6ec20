"""parts/ of a stage that is not complete: what it was begun with, on which machines, whether anything came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskdistill.runs import atomic

PLAN, MACHINES, SECONDS = "plan.json", "machines.json", "seconds.json"


def begin(folder: Path, parts: Mapping[str, Any]) -> float:
    """Make the folder of a stage ready to be worked at, or to be gone on with.

    Returns:
        Seconds that were worked at it before, in sittings that were stopped.
    Raises:
        RunError: it cannot be written.
    """
    atomic.make_folder(folder / "parts")
    atomic.sweep(folder)
    before = _seconds(folder)
    atomic.write_json(folder / "parts" / PLAN, parts)
    atomic.write_json(folder / "parts" / SECONDS, {"before": before, "began": time.time()})
    return before


def _seconds(folder: Path) -> float:
    """So long was worked at it: until the last file was written, because a kill leaves no word of its time."""
    path = folder / "parts" / SECONDS
    if not path.exists():
        return 0.0
    last = json.loads(path.read_text(encoding="utf-8"))
    written = max((file.stat().st_mtime for file in _made(folder)), default=0.0)
    return round(last["before"] + max(0.0, written - last["began"]), 3)


def plan(folder: Path) -> dict[str, Any] | None:
    """What its fingerprint was made of when it was begun; None where it is not begun."""
    path = folder / "parts" / PLAN
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def machines(folder: Path, now: str) -> list[str]:
    """On what it was worked at so far: more than one device or thread count, and its last bits are mixed."""
    path = folder / "parts" / MACHINES
    seen = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if now not in seen:
        atomic.write_json(path, [*seen, now])
    return list(dict.fromkeys([*seen, now]))


def is_worth_resuming(folder: Path) -> bool:
    """Whether there is more than how it was begun: a record in a journal, a checkpoint."""
    return any(path.stat().st_size for path in _made(folder))


def _made(folder: Path) -> list[Path]:
    begun_with = (PLAN, MACHINES, SECONDS)
    return [
        path
        for path in (folder / "parts").rglob("*")
        if path.is_file() and path.name not in begun_with
    ]
