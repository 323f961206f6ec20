"""What a folder of data sets holds: DIR/.fetched.json says which archives came from where, and which sets are whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from maskdistill.datasets.coco import read_list
from maskdistill.downloads.download import Received
from maskdistill.downloads.sources import Archive, Dataset
from maskdistill.errors import DatasetError, GroundTruthError
from maskdistill.runs import atomic

NAME = ".fetched.json"
State = Literal["absent", "moving", "complete"]


class Record:
    """DIR/.fetched.json."""

    def __init__(self, folder: Path) -> None:
        """Raises: DatasetError: the file is there, but is no such record."""
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
                f"{self.path}: no record of what was fetched ({type(error).__name__}: {error}). Delete it: what is "
                "there is then looked at anew"
            ) from error

    def digests(self, archive: Archive) -> dict[str, str]:
        """The published digests of an archive; without one that of its first fetch; none before that."""
        published = {
            name: value
            for name, value in (("sha256", archive.sha256), ("md5", archive.md5))
            if value
        }
        if not published and archive.name in self.archives:
            return {"sha256": self.archives[archive.name]["sha256"]}
        return published

    def received(self, name: str, received: Received) -> None:
        """An archive or list is there; who published no digest has it kept here from now on."""
        before = self.archives.get(name, {})
        now = datetime.now(UTC).isoformat(timespec="seconds")
        # One that lay there already was fetched by an earlier command, or put there by hand: url None.
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
        """Whether a mirror gave it; else it was put there by hand."""
        return bool(self.archives.get(name, {}).get("url"))

    def state(self, dataset: str) -> State:
        return self.states.get(dataset, "absent")

    def is_now(self, dataset: str, state: State) -> None:
        self.states[dataset] = state
        self._write()

    def _write(self) -> None:
        atomic.write_json(
            self.path, {"format": 1, "archives": self.archives, "datasets": self.states}
        )


def counts(dataset: Dataset, folder: Path) -> dict[str, tuple[int, int]]:
    """Of each pattern and list of a data set: how many there are, how many are wanted."""
    found: dict[str, tuple[int, int]] = {}
    for pattern, wanted in dataset.counts:
        names = [path.name for path in folder.glob(pattern)]
        found[pattern] = (sum(not name.startswith("._") for name in names), wanted)
    for path, wanted in dataset.lines:
        found[path] = (_lines(folder / path), wanted)
    return found


def wrong(found: Mapping[str, tuple[int, int]]) -> str:
    """What is not as it should be, empty if all is."""
    return "; ".join(
        f"{what}: {n} of {wanted}" for what, (n, wanted) in found.items() if n != wanted
    )


def _lines(path: Path) -> int:
    try:
        return len(read_list(path))
    except GroundTruthError:
        return 0
