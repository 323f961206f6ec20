"""Run lock: one process a run, by a lock of the operating system, which a kill releases by itself.

In:       the path of a file, made where it is missing and left behind: it locks nothing by itself
Out:      RunError with the holder's process, machine and start where another one has it
Library:  filelock's `lock_descriptor` takes the lock, and never falls back to a file that a kill
          would leave locked. Its `FileLock` opens the file itself and lets nobody write who holds
          it
"""

from __future__ import annotations

import json
import os
import socket
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import filelock

from maskdistill.errors import RunError
from maskdistill.runs import atomic

# Windows shuts others out of the byte that is locked, the first one: it is a space, which they
# skip.
_UNREADABLE = 1 if os.name == "nt" else 0


class RunLock:
    """Hold the lock of a file while the block runs."""

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Name the file; nothing is opened yet.

        Args:
            clock: the time that the file says the block began at.
        """
        self.path, self.clock = path, clock
        self.file: IO[bytes] | None = None

    def __enter__(self) -> RunLock:
        """Take the lock, and write into the file who has it.

        Raises:
            RunError: another process holds it (which one, since when); the file cannot be written;
                its file system has no locks.
        """
        try:
            # Unbuffered: a child process that inherits the file has nothing of ours to write.
            file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise atomic.unwritable(self.path, error) from error
        try:
            self._take(file)
            with atomic.telling(self.path):
                file.truncate(0)
                file.write(b" " + json.dumps(self._about()).encode())
        except BaseException:
            file.close()
            raise
        self.file = file
        _held.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the lock; the file stays."""
        if self.file is not None:
            self.file.close()
            self.file = None
        _held.discard(self)

    def _take(self, file: IO[bytes]) -> None:
        """Lock an open file; RunError where that cannot be."""
        try:
            is_ours = filelock.lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be locked: {error.strerror or error}. "
                "Put the run on a disk whose file system has locks: --out with a local folder"
            ) from error
        if not is_ours:
            raise RunError(
                f"{self.path}: another process works in this run ({_holder(file)}). "
                "Wait for it, or stop it; then give the same command again"
            )

    def _about(self) -> dict[str, str | int]:
        return {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": boot_id(),
            "start": self.clock().astimezone(UTC).isoformat(timespec="seconds"),
        }


# A child made by fork shares the lock, and one that outlives a killed parent would go on holding
# it. Children that are started anew (spawn) do not inherit the file.
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def boot_id() -> str:
    """Return the name of this start of the machine; empty where the system gives none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _holder(file: IO[bytes]) -> str:
    """Return who holds the lock; between taking it and writing to it the file is empty."""
    file.seek(_UNREADABLE)
    try:
        about = json.loads(file.read().decode("utf-8"))
        return f"process {about['process']} on {about['host']}, since {about['start']}"
    except (ValueError, KeyError, TypeError):
        return "it has just started"
