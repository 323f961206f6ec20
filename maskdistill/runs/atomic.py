"""Files that are either whole or not there: written under a temporary name, fsynced, renamed.

Raises RunError naming the path where the disk is full or the folder cannot be written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
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
    """Replace a file's content by JSON, keys in the order given.

    Raises:
        ValueError: nan or infinity in it; the old file stays.
    """
    write_bytes(path, json_bytes(value, indent=1) + b"\n")


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Return a value as JSON in UTF-8; without an indent compact, on one line.

    Reading it gives the same value.

    Raises:
        ValueError: nan or infinity. TypeError: a value that JSON does not know.

    >>> json_bytes({"masks": 3, "k": None})
    b'{"masks":3,"k":null}'
    """

    def text(ascii_only: bool) -> str:
        separators = (",", ":") if indent is None else None
        return json.dumps(
            value, indent=indent, separators=separators, ensure_ascii=ascii_only, allow_nan=False
        )

    try:
        return text(ascii_only=False).encode("utf-8")
    except UnicodeEncodeError:
        # A file's name that is not UTF-8 comes from the system as lone surrogates: only escapes
        # can hold them.
        return text(ascii_only=True).encode("ascii")


@contextlib.contextmanager
def writing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Yield a file object whose content becomes `path` when the block ends well.

    Else the old file stays as it was.

    Args:
        mode: "wb", or "w" for UTF-8 text.
    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    partial = path.with_name(path.name + SUFFIX)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    try:
        with partial.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        # The block may have failed at a file of its own, which its error names.
        if isinstance(error, OSError) and error.filename in (None, str(partial), str(path.parent)):
            raise unwritable(path, error) from error
        raise


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what the system refuses in the block into a RunError that names `path`.

    Raises:
        RunError: of `unwritable`.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        RunError: the system refuses.
    """
    with telling(path):
        path.mkdir(parents=True, exist_ok=True)


def unwritable(path: Path, error: OSError) -> RunError:
    """Return the error that tells a user that the system refuses to write, and what to do."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        advice = "Free some space, then give the same command again: it goes on where it was"
    else:
        advice = (
            "See that its folder exists and may be written to, then give the same command again"
        )
    return RunError(f"{path}: cannot be written: {error.strerror or error}. {advice}")


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder outlast a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # Some network mounts cannot sync a folder, and a folder may be writable but not readable:
        # the rename stands.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES):
            raise


def sweep(folder: Path) -> None:
    """Remove what a killed process left half written, in this folder and below."""
    for partial in folder.rglob(f"*{SUFFIX}"):
        partial.unlink(missing_ok=True)
