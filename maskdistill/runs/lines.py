"""JSON lines: read as a stream, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError
from maskdistill.runs import atomic


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the dict of each line, read one at a time.

    Raises:
        RunError: the file is not there, or a line cannot be read; it is named.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield decoded(path, number, line)
    except FileNotFoundError:
        raise RunError(
            f"{path}: not there. The stage that writes it is not complete: run the same command again"
        ) from None


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file by one compact line a row.

    If the rows stop with an error, the old file stays.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
        ValueError: nan or infinity in a row.
    """
    with atomic.writing(path) as file:
        for row in rows:
            file.write(encoded(row))


def encoded(row: Mapping[str, Any]) -> bytes:
    """Return the line of one row, newline included.

    >>> encoded({"id": 1, "masks": []})
    b'{"id":1,"masks":[]}\\n'
    """
    return atomic.json_bytes(row) + b"\n"


def decoded(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return the dict of one line.

    Args:
        path: the file, for the message.
        number: of the line, from 1, for the message.
    Raises:
        RunError: the line is no JSON object.

    >>> decoded(Path("images.jsonl"), 1, b'{"id": 1}')
    {'id': 1}
    """
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
