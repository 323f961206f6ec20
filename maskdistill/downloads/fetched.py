"""Fetched: the record of a folder of data sets: which archives came whence, which sets are whole.

In:       DIR/.fetched.json, the table of sources
Out:      the same file, whole or not there; counts of what is there and what is wanted
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from maskdistill.datasets.names import read_list
from maskdistill.downloads.download import Received
from maskdistill.downloads.sources import Archive, Dataset
from maskdistill.errors import DatasetError, GroundTruthError
from maskdistill.runs import atomic

NAME = ".fetched.json"
State = Literal["absent", "moving", "complete"]


class Record:
    """Hold DIR/.fetched.json.

    Attributes:
        archives: name -> url, bytes, sha256, time. states: data set -> State.
    """

    def __init__(self, folder: Path) -> None:
        """Read the record of a folder; DatasetError where the file is there, but no such record."""
        self.path = folder / NAME
        self.archives: dict[str, dict[str, Any]] = {}
        self.states: dict[str, State] = {}
        if not self.path.exists():
            return
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self.archives, self.states = dict(found["archives"]), dict(found["datasets"])
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{self.path}: no record of what was fetched ({type(error).__name__}: {error}). "
                "Delete it: what is there is then looked at anew"
            ) from error

    def digests(self, archive: Archive) -> dict[str, str]:
        """Return an archive's published digests; without one that of its first fetch, if any."""
        published = {
            name: value
            for name, value in (("sha256", archive.sha256), ("md5", archive.md5))
            if value
        }
        if not published and archive.name in self.archives:
            return {"sha256": self.archives[archive.name]["sha256"]}
        return published

    def received(self, name: str, received: Received) -> None:
        """Write down that an archive or list is there, with its digest."""
        before = self.archives.get(name, {})
        now = datetime.now(UTC).isoformat(timespec="seconds")
        # One that lay there already was fetched by an earlier command, or put there by hand: url
        # None.
        url = received.url or (
            before.get("url") if before.get("sha256") == received.sha256 else None
        )
        self.archives[name] = {
            "url": url,
            "bytes": received.bytes,
            "sha256": received.sha256,
            "time": now,
        }
        self._write()

    def was_fetched(self, name: str) -> bool:
        """Return whether a mirror gave an archive; else it was put there by hand."""
        return bool(self.archives.get(name, {}).get("url"))

    def state(self, dataset: str) -> State:
        """Return a data set's state: moving while its places are moved one after the other."""
        return self.states.get(dataset, "absent")

    def is_now(self, dataset: str, state: State) -> None:
        """Write down a data set's state."""
        self.states[dataset] = state
        self._write()

    def _write(self) -> None:
        atomic.write_json(
            self.path, {"format": 1, "archives": self.archives, "datasets": self.states}
        )


def counts(dataset: Dataset, folder: Path) -> dict[str, tuple[int, int]]:
    """Count the files of each pattern and the lines of each list of a data set.

    Returns:
        {pattern or list: (how many there are, how many are wanted)}
    """
    found: dict[str, tuple[int, int]] = {}
    for pattern, wanted in dataset.counts:
        names = [path.name for path in folder.glob(pattern)]
        found[pattern] = (sum(not name.startswith("._") for name in names), wanted)
    for path, wanted in dataset.lines:
        found[path] = (_lines(folder / path), wanted)
    return found


def wrong(found: Mapping[str, tuple[int, int]]) -> str:
    """Return which counts are not as they should be, in words; empty if all are."""
    return "; ".join(
        f"{what}: {n} of {wanted}" for what, (n, wanted) in found.items() if n != wanted
    )


def _lines(path: Path) -> int:
    try:
        return len(read_list(path))
    except GroundTruthError:
        return 0
