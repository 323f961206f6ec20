"""Journal: what a stage has done so far, appended picture by picture, so that a kill loses nothing.

A line is the CRC-32 of its payload in hex, a space, the payload {"key", "record"}. A torn last line
is dropped; a wrong line before it is an error. Memory holds only where each record begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, KeysView
from pathlib import Path
from typing import IO, Any

from maskdistill.errors import RunError
from maskdistill.runs import atomic, lines


class Journal:
    """Append-only file of records by integer key; the last record of a key counts.

    Opening it only reads, so that `status` can look at a journal that another process is writing;
    the first `add` cuts a torn line off and begins to write.

    Raises:
        RunError: a line that is not the last one is damaged.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "journal",
        *,
        flush_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / f"{name}.jsonl"
        self.flush_seconds, self.clock = flush_seconds, clock
        self.offsets: dict[int, int] = {}
        self.end = self._scan()
        self.file: IO[bytes] | None = None
        self.flushed = clock()

    @property
    def done(self) -> KeysView[int]:
        """Return the keys that have a record."""
        return self.offsets.keys()

    def __contains__(self, key: int) -> bool:
        return key in self.offsets

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, key: int, record: dict[str, Any]) -> None:
        """Append a record; it is on disk after `flush`, `close`, or `add` after `flush_seconds`.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        line = _sealed({"key": key, "record": record})
        try:
            if self.file is None:
                self.file = self._opened_for_writing()
            self.file.write(line)
        except OSError as error:
            raise self._failed(error) from error
        self.offsets[key] = self.end
        self.end += len(line)
        if self.clock() - self.flushed >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Put everything added so far on disk.

        Raises:
            RunError: the disk is full.
        """
        self.flushed = self.clock()
        if self.file is None:
            return
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (key, record) by rising key, read from disk one at a time.

        Raises:
            RunError: the file was changed meanwhile.
        """
        self.flush()
        if not self.offsets:
            return
        with self.path.open("rb") as file:
            for key in sorted(self.offsets):
                file.seek(self.offsets[key])
                payload = _unsealed(file.readline())
                if payload is None or payload["key"] != key:
                    raise RunError(
                        f"{self.path}: changed while it was read. Is another program writing there?"
                    )
                yield key, payload["record"]

    def restarted(self) -> Journal:
        """Empty the journal: remove its file, and return a new one in its place."""
        self.close()
        self.path.unlink(missing_ok=True)
        return Journal(
            self.path.parent, self.path.stem, flush_seconds=self.flush_seconds, clock=self.clock
        )

    def close(self) -> None:
        """Flush and close the file; another `add` would open it again."""
        self.flush()
        if self.file is not None:
            self.file.close()
            self.file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened_for_writing(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        file = self.path.open("ab")
        try:
            file.truncate(self.end)
            if is_new:
                atomic.sync_folder(self.path.parent)
        except BaseException:
            file.close()
            raise
        return file

    def _failed(self, error: OSError) -> RunError:
        """Know again only what is on disk: nobody can tell how much of the buffer was written."""
        if self.file is not None:
            with contextlib.suppress(OSError):  # closing tries to write once more
                self.file.close()
            self.file = None
        self.offsets.clear()
        self.end = self._scan()
        return atomic.unwritable(self.path, error)

    def _scan(self) -> int:
        """Fill the offsets; return the position behind the last whole line."""
        if not self.path.exists():
            return 0
        good = 0
        with self.path.open("rb") as file:
            # Another process may be adding lines meanwhile: they are not ours.
            size = os.fstat(file.fileno()).st_size
            for number, line in enumerate(file, 1):
                payload = _unsealed(line) if good + len(line) <= size else None
                if payload is None:
                    # A kill leaves a torn line, a power cut a torn line or zeros, at the very end
                    # and nowhere else.
                    rest = file.read(max(0, size - good - len(line)))
                    if rest.strip(b"\0"):
                        raise RunError(
                            f"{self.path}: line {number} is damaged, and it is not the last one. "
                            f"Remove the folder {self.path.parent} to do this stage anew"
                        )
                    break
                self.offsets[payload["key"]] = good
                good += len(line)
        return good


def _sealed(payload: dict[str, Any]) -> bytes:
    body = lines.encoded(payload)
    return _seal(body) + body


def _unsealed(line: bytes) -> dict[str, Any] | None:
    """Return the payload of a line, None if it is torn or damaged."""
    seal, body = line[:9], line[9:]
    if not line.endswith(b"\n") or seal != _seal(body):
        return None
    return dict(json.loads(body))


def _seal(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x} ".encode()
