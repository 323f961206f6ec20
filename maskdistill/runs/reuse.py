"""Outputs of a complete stage of another run, taken into this one without being made again.

Linked where the file system can, else copied. A link is safe because no stage writes into a file
that is there: all outputs are written under another name and renamed (atomic.py), which leaves the
other run's file as it was.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from maskdistill.errors import RunError
from maskdistill.runs import atomic, record
from maskdistill.runs.record import StageRecord


def take(source: Path, entry: StageRecord, target: Path, *, waiting: Path) -> int:
    """Bring the outputs of a stage's folder to another folder; the caller writes stage.json there.

    Nothing comes to `target` before all of it lies in `waiting` and has the recorded bytes. Files
    and folders of the same names in `target` go.

    Args:
        source: the folder of the other run's stage.
        entry: the other run's stage.json.
        waiting: a folder on the file system of `target`; emptied first, gone at the end.
    Returns:
        The number of files that are links; the others are copies.
    Raises:
        RunError: an output is missing or its bytes changed, or the disk is full; `target` is then
            as it was.
    """
    shutil.rmtree(waiting, ignore_errors=True)
    try:
        waiting.mkdir(parents=True)
        linked = sum(_link_or_copy(source / name, waiting / name) for name in entry.outputs)
    except OSError as error:
        shutil.rmtree(waiting, ignore_errors=True)
        raise atomic.unwritable(waiting, error) from error
    damaged = record.verify(waiting, entry)
    if damaged:
        shutil.rmtree(waiting, ignore_errors=True)
        raise RunError(
            f"{source}: cannot be reused: {', '.join(damaged[:5])}{', ...' if len(damaged) > 5 else ''} "
            "missing or changed since the stage was complete. Leave out its --reuse"
        )
    for path in sorted(waiting.iterdir()):
        old = target / path.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        path.rename(old)
    atomic.sync_folder(target)
    shutil.rmtree(waiting)
    return linked


def _link_or_copy(source: Path, target: Path) -> bool:
    """Return whether it became a link; a file that is missing is left to be found missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
        return True
    except FileNotFoundError:
        return False
    except OSError:  # another disk, a file system without links, too many of them
        with source.open("rb") as old, target.open("xb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
        return False
