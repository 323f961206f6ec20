"""The ledger: what happened in a run, one line an event, for people and for the report; nothing is decided by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maskdistill.runs import lines


class Ledger:
    """An append-only file of events."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path, self.clock = path, clock

    def write(self, event: str, **fields: Any) -> None:
        """Append an event with its time; a line is written in one call, so that two writers do not mix."""
        line = lines.encoded({"time": self.clock().isoformat(timespec="seconds"), "event": event, **fields})
        with self.path.open("ab") as file:
            file.write(line)

    def read(self) -> Iterator[dict[str, Any]]:
        """Events in order; lines that a kill tore are passed over."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict) and "event" in row:
                    yield row

    def count(self, event: str) -> int:
        """How often something happened."""
        return sum(row["event"] == event for row in self.read())
