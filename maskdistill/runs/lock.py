"""One process a run: a lock of the operating system, which a kill releases by itself.

The lock's file is left behind without harm: whether it is held, the system knows; its content only says by whom.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from maskdistill.errors import RunError
from maskdistill.runs import atomic


class RunLock:
    """Held while the block runs."""

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path, self.clock = path, clock
        self.file: IO[bytes] | None = None

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises:
            RunError: another process holds it (and who, since when), or the file system has no locks.
        """
        try:
            # Unbuffered: a child process that inherits the file has nothing of ours to write.
            file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise atomic.unwritable(self.path, error) from error
        try:
            _take(file)
            file.truncate(0)
            file.write(json.dumps(self._about()).encode())
        except OSError as error:
            with file:
                raise self._refusal(file, error) from None
        self.file = file
        _held.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
        _held.discard(self)

    def _about(self) -> dict[str, str | int]:
        return {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": boot_id(),
            "start": self.clock().astimezone(UTC).isoformat(timespec="seconds"),
        }

    def _refusal(self, file: IO[bytes], error: OSError) -> RunError:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return RunError(
                f"{self.path}: another process works in this run ({_holder(file)}). "
                "Wait for it, or stop it; then give the same command again"
            )
        return RunError(
            f"{self.path}: cannot be locked: {error.strerror or error}. "
            "Put the run on a disk whose file system has locks: --out with a local folder"
        )


# A child made by fork shares the lock, and one that outlives a killed parent would go on holding it. Children that
# are started anew (spawn) do not inherit the file.
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def boot_id() -> str:
    """What tells this start of the machine from others; empty where the system has no such thing."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _holder(file: IO[bytes]) -> str:
    """Who holds the lock, as its file says; between taking the lock and writing to the file it is empty."""
    file.seek(0)
    try:
        about = json.loads(file.read().decode("utf-8"))
        return f"process {about['process']} on {about['host']}, since {about['start']}"
    except (ValueError, KeyError, TypeError):
        return "it has just started"


def _take(file: IO[bytes]) -> None:
    """OSError if another process holds the lock."""
    if os.name == "nt":
        import msvcrt

        file.seek(2**30)  # far behind the content, which others may then still read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
