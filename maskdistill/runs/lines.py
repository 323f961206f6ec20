"""JSON lines: read as a stream, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError
from maskdistill.runs import atomic


def read(path: Path) -> Iterator[dict[str, Any]]:
    """A dict a line; RunError names the file and the line that cannot be read."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield decoded(path, number, line)
    except FileNotFoundError:
        raise RunError(
            f"{path}: not there. The stage that writes it is not complete: run the same command again"
        ) from None


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file by one compact line a row; if the rows stop with an error, the old file stays."""
    with atomic.writing(path) as file:
        for row in rows:
            file.write(encoded(row))


def encoded(row: Mapping[str, Any]) -> bytes:
    """One line, newline included."""
    return atomic.json_bytes(row) + b"\n"


def decoded(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """A line's dict; RunError names the file and the number of the line where it is none."""
    try:
        row = json.loads(line.decode("utf-8"))
        if not isinstance(row, dict):
            raise ValueError(f"wanted a JSON object, found {type(row).__name__}")
        return row
    except ValueError as error:
        raise RunError(
            f"{path}: line {number} cannot be read ({error}). The file was changed or cut short by another "
            "program: remove its stage's stage.json and run again with --from"
        ) from error
