"""Ledger: what happened in a run, a line an event, for people and for the report.

No stage decides anything by it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maskdistill.runs import atomic, lines


class Ledger:
    """Append-only file of events; several processes may write to it."""

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path, self.clock = path, clock

    def write(self, event: str, **fields: Any) -> None:
        """Append an event with its time in UTC.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        time = self.clock().astimezone(UTC).isoformat(timespec="seconds")
        line = lines.encoded({"time": time, "event": event, **fields})
        try:
            # Unbuffered, so that a line is one call to the system, which does not mix it with
            # another writer's.
            with self.path.open("a+b", buffering=0) as file:
                if file.seek(0, 2) and file.seek(-1, 2) >= 0 and file.read(1) != b"\n":
                    # A kill tore the last line, which must not swallow this one; one newline too
                    # many is harmless.
                    line = b"\n" + line
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise atomic.unwritable(self.path, error) from error

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the events in order; lines that a kill tore are passed over."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line.decode("utf-8"))
                except ValueError:
                    continue
                if isinstance(row, dict) and "event" in row:
                    yield row

    def count(self, event: str) -> int:
        """Return the number of events of one kind."""
        return sum(row["event"] == event for row in self.read())
