"""The journal: what a stage has done so far, appended picture by picture, so that a kill loses nothing.

A line is the CRC-32 of its payload in hex, a space, the payload {"key", "record"}. A torn last line is dropped;
a wrong line before it is an error. In memory stands only where each record begins.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, KeysView
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError
from maskdistill.runs import lines


class Journal:
    """An append-only file of records by integer key; the last record of a key counts."""

    def __init__(
        self,
        folder: Path,
        name: str = "journal",
        *,
        flush_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        self.flush_seconds, self.clock = flush_seconds, clock
        self.offsets: dict[int, int] = {}
        end = self._scan()
        self.file = self.path.open("ab")
        if self.file.tell() != end:
            self.file.truncate(end)
            self.file.seek(end)
        self.end, self.flushed = end, clock()

    @property
    def done(self) -> KeysView[int]:
        """Keys that have a record."""
        return self.offsets.keys()

    def __contains__(self, key: int) -> bool:
        return key in self.offsets

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, key: int, record: dict[str, Any]) -> None:
        """Append a record; it is on disk after `flush_seconds` at the latest, or after `flush`."""
        line = _sealed({"key": key, "record": record})
        self.file.write(line)
        self.offsets[key] = self.end
        self.end += len(line)
        if self.clock() - self.flushed >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Put everything added so far on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.flushed = self.clock()

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(key, record) by rising key, read from disk one at a time."""
        self.flush()
        with self.path.open("rb") as file:
            for key in sorted(self.offsets):
                file.seek(self.offsets[key])
                payload = _opened(file.readline())
                if payload is None:
                    raise RunError(f"{self.path}: changed while it was read. Is another program writing there?")
                yield key, payload["record"]

    def restarted(self) -> Journal:
        """The same journal, emptied."""
        self.close()
        self.path.unlink()
        return Journal(self.path.parent, self.path.stem, flush_seconds=self.flush_seconds, clock=self.clock)

    def close(self) -> None:
        """Flush and close; nothing can be added any more."""
        if not self.file.closed:
            self.flush()
            self.file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _scan(self) -> int:
        """Fill the offsets; the position behind the last whole line is returned."""
        if not self.path.exists():
            return 0
        size = self.path.stat().st_size
        good = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                payload = _opened(line)
                if payload is None:
                    # A power cut leaves a torn line, or zeros, at the very end and nowhere else.
                    rest = file.read()
                    if b"\n" in rest.strip(b"\0"):
                        raise RunError(
                            f"{self.path}: line {number} is damaged, and it is not the last one. "
                            f"Remove the folder {self.path.parent} to do this stage anew"
                        )
                    return good
                self.offsets[payload["key"]] = good
                good += len(line)
        assert good == size, (good, size)
        return good


def _sealed(payload: dict[str, Any]) -> bytes:
    body = lines.encoded(payload)
    return f"{zlib.crc32(body):08x} ".encode() + body


def _opened(line: bytes) -> dict[str, Any] | None:
    """The payload of a line, None if it is torn."""
    body = line[9:]
    try:
        if not line.endswith(b"\n") or int(line[:8], 16) != zlib.crc32(body):
            return None
        return dict(json.loads(body))
    except ValueError:
        return None
