"""One process a run: a lock of the operating system, which a kill releases by itself."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from maskdistill.errors import RunError


class RunLock:
    """Held while the block runs; the file says who holds it and may be left behind without harm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def __enter__(self) -> RunLock:
        file = self.path.open("a+b")
        try:
            _take(file)
        except OSError:
            file.seek(0)
            holder = file.read().decode("utf-8", "replace").strip() or "nobody knows"
            file.close()
            raise RunError(
                f"{self.path}: another process works in this run ({holder}). Wait for it, or stop it; then run the same command"
            ) from None
        file.truncate(0)
        about = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": boot_id(),
            "start": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        file.write(json.dumps(about).encode())
        file.flush()
        self.file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def boot_id() -> str:
    """What tells this start of the machine from others; empty where the system has no such thing."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


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
