"""stage.json: the record of a complete stage, written last; where it is missing, the stage is not complete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError
from maskdistill.runs import atomic, fingerprints


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What a stage was made from and what it made.

    Attributes:
        parts: what the fingerprint is the digest of.
        outputs: relative path -> SHA-256.
        mixed: device, thread count or training batch changed on the way: its bytes are not those of one go.
        counts: for status and report.
    """

    stage: str
    version: int
    fingerprint: str
    parts: dict[str, Any]
    outputs: dict[str, str]
    mixed: bool
    counts: dict[str, Any]


_TYPES = {"str": str, "int": int, "bool": bool, "dict[str, Any]": dict, "dict[str, str]": dict}


def read(path: Path) -> StageRecord | None:
    """The record, None where there is none; RunError where it is damaged."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        entry = StageRecord(**row)
        for field in fields(StageRecord):
            if not isinstance(row[field.name], _TYPES[str(field.type)]):
                raise TypeError(f"{field.name}: wanted {field.type}, found {row[field.name]!r}")
        return entry
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{path}: damaged or of another version ({error}). Remove it to do the stage anew"
        ) from error


def write(path: Path, entry: StageRecord) -> None:
    """Declare a stage complete."""
    atomic.write_json(path, asdict(entry))


def verify(folder: Path, entry: StageRecord) -> list[str]:
    """Outputs that are missing or whose bytes changed."""
    return [
        name
        for name, sha256 in entry.outputs.items()
        if not (folder / name).is_file() or fingerprints.sha256_file(folder / name) != sha256
    ]
