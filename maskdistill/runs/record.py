"""stage.json: the record of a complete stage, written last.

Where it is missing, the stage is not complete.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError
from maskdistill.runs import atomic, fingerprints


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """Record of a complete stage: its inputs by fingerprint, its outputs by hash.

    Attributes:
        version: of the stage's code, raised with every change of results.
        fingerprint: the digest of `parts`.
        parts: settings, weights and the identities of the stages that were read.
        outputs: path relative to the stage's folder -> SHA-256.
        mixed: whether device, thread count or training batch changed on the way: the bytes are then
            not those of one go.
        counts: for status and report.
        numbers: that need no ground truth, name -> value, None where there is none; empty of a
            record that was written before there were any.
    """

    stage: str
    version: int
    fingerprint: str
    parts: dict[str, Any]
    outputs: dict[str, str]
    mixed: bool
    counts: dict[str, Any]
    numbers: dict[str, Any] = field(default_factory=dict)


_TYPES = {"str": str, "int": int, "bool": bool, "dict[str, Any]": dict, "dict[str, str]": dict}


def read(path: Path) -> StageRecord | None:
    """Return the record in a file, None where there is no file.

    Raises:
        RunError: damaged, or of another version.
    """
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        entry = StageRecord(**row)
        for each in fields(StageRecord):
            found = getattr(entry, each.name)
            if not isinstance(found, _TYPES[str(each.type)]):
                raise TypeError(f"{each.name}: wanted {each.type}, found {found!r}")
        return entry
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{path}: damaged or of another version ({error}). Remove it to do the stage anew"
        ) from error


def write(path: Path, entry: StageRecord) -> None:
    """Declare a stage complete: write its record.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    atomic.write_json(path, asdict(entry))


def verify(folder: Path, entry: StageRecord) -> list[str]:
    """Return the names of outputs that are missing or whose bytes changed."""
    return [
        name
        for name, sha256 in entry.outputs.items()
        if not (folder / name).is_file() or fingerprints.sha256_file(folder / name) != sha256
    ]
