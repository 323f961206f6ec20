"""Files that are either whole or not there: written under a temporary name, fsynced, renamed.

Raises RunError naming the path where the disk is full or the folder cannot be written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from maskdistill.errors import RunError

SUFFIX = ".partial"  # of a file that is being written


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content, all of it or nothing."""
    with writing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by UTF-8 text with the newlines it has."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace a file's content by JSON; keys in the order given, not a number is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def writing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file object whose content becomes `path` when the block ends well; else the old file stays as it was."""
    partial = path.with_name(path.name + SUFFIX)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with partial.open(mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written: {error.strerror or error}. Free some space or check the folder's rights") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder outlast a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half written, in this folder and below."""
    for partial in folder.rglob(f"*{SUFFIX}"):
        partial.unlink(missing_ok=True)
