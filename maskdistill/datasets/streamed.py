"""JSON too large to be held whole: the records of its lists, one at a time.

In:       a file that is a list, or an object whose values may be lists (COCO's datasets); UTF-8
          with or without a byte order mark, UTF-16 or UTF-32, each as it is or packed by gzip
Out:      (key, record) in the order of the file, as json.load has them; a chunk and a record are
          held
Library:  ijson parses and builds; ours is the pass over several lists of one file
Differs:  half a surrogate pair (a name that is not UTF-8, as Python escapes it) is read as "?"
"""

from __future__ import annotations

import ast
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import ijson

# Bytes that are read at a time. What ijson makes of 2^16 does not stay in the caches: reading was
# as fast, but what is done with the records took longer (docs/log/datasets.md, 2026-11-30).
CHUNK = 1 << 12
Keyed = tuple[str | None, Any]


def records(
    source: Path, wanted: Container[str] = (), *, chunk: int = CHUNK, seen: set[str] | None = None
) -> Iterator[Keyed]:
    """Yield the records of a list, each with the key None; of an object those of the wanted lists.

    Numbers that JSON has not (NaN, Infinity) or that ijson cannot hold (integers beyond 64 bits)
    are read too, as Python writes them; from the first one on the whole file is in memory.

    Args:
        wanted: keys of the object whose lists are asked for. Other lists, and what is no list, are
            passed over.
        seen: the keys of all lists that were met are put into it, of empty ones too.
    Raises:
        ValueError: no JSON, cut short, more behind its end, neither list nor object. OSError:
            cannot be read.
    """
    seen = set() if seen is None else seen
    n_given = 0
    try:
        for each in _streamed(source, wanted, chunk, seen):
            yield each
            n_given += 1
    except _NumberOfPython:
        yield from itertools.islice(_loaded(source, wanted, seen), n_given, None)


def is_list(source: Path) -> bool:
    """Return whether a file begins as a list; OSError, ValueError where it cannot be read."""
    with _opened_json(source) as file:
        return _first(ijson.parse(file, buf_size=1024)) == "start_array"


@contextmanager
def opened(source: Path) -> Iterator[IO[bytes]]:
    """Open a text as UTF-8 without a byte order mark, whatever its encoding and packing.

    The first bytes tell the encoding, as they tell it to json.loads.

    Raises:
        ValueError, in the block: what cannot be unpacked or decoded. OSError: cannot be read.
    """
    with source.open("rb") as raw:
        is_packed = raw.peek(2)[:2] == b"\x1f\x8b"
        file = cast(io.BufferedReader, gzip.GzipFile(fileobj=raw)) if is_packed else raw
        try:
            encoding = json.detect_encoding(file.peek(4)[:4])
            if encoding == "utf-8-sig":
                file.read(3)
            yield file if encoding.startswith("utf-8") else cast(IO[bytes], _Utf8(file, encoding))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"cannot be unpacked, or cut short: {error}") from error


class _Utf8:
    """A file in another encoding, read as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self.text = io.TextIOWrapper(file, encoding, newline="")

    def read(self, size: int = -1) -> bytes:
        """Read so many characters; empty at the end alone."""
        return self.text.read(size).encode()


def _streamed(source: Path, wanted: Container[str], chunk: int, seen: set[str]) -> Iterator[Keyed]:
    with _opened_json(source) as file:
        events = ijson.parse(file, use_float=True, buf_size=chunk)
        if _first(events) == "start_array":
            inside = iter(events.__next__, ("", "end_array", None))
            yield from ((None, record) for record in ijson.items(inside, "item"))
        key = ""
        for prefix, event, value in events:  # of a list: what stands behind its end
            if event == "map_key":
                key = value
            elif event == "start_array" and prefix == key:  # what lies deeper has a longer prefix
                seen.add(key)
                inside = iter(events.__next__, (key, "end_array", None))
                # The list is read to its end also where nobody wants it.
                for record in ijson.items(inside, f"{key}.item"):
                    if key in wanted:
                        yield key, record


def _loaded(source: Path, wanted: Container[str], seen: set[str]) -> Iterator[Keyed]:
    """Yield what `_streamed` does, by Python's own json, which reads more numbers and holds all."""
    with opened(source) as file:
        try:
            whole = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"no JSON, or cut short: {error}") from error
    if isinstance(whole, list):
        yield from ((None, record) for record in whole)
    else:
        lists = {key: value for key, value in whole.items() if isinstance(value, list)}
        seen.update(lists)
        yield from ((key, row) for key, rows in lists.items() if key in wanted for row in rows)


def _first(events: Iterator[tuple[str, str, Any]]) -> str:
    """Return a file's first event, start_array or start_map; ValueError where it is another."""
    try:
        _, event, value = next(events)
    except ijson.JSONError as error:
        raise ValueError(f"{_refusal(str(error))}; {_WANTED}") from error
    if event not in ("start_array", "start_map"):
        raise ValueError(f"begins with {value!r}, {_WANTED}")
    return event


_WANTED = "wanted a list or an object"


class _NumberOfPython(ValueError):
    """A number that Python's json reads and ijson refuses."""


@contextmanager
def _opened_json(source: Path) -> Iterator[IO[bytes]]:
    """Open a file for ijson, whose errors in the block become ValueError in one line."""
    if not source.stat().st_size:
        raise ValueError("holds nothing")
    with opened(source) as file:
        try:
            yield file
        except ijson.JSONError as error:
            raise _refusal(str(error)) from error


_WORDS = {"premature EOF": "cut short", "trailing garbage": "goes on behind its end"}


def _refusal(error: str) -> ValueError:
    """Return the error for ijson's three lines: reason, text around the place, arrow."""
    # Columns are bytes; where the text cannot be decoded, the message is that of a bytes object.
    data: bytes = ast.literal_eval(error) if error.startswith(("b'", 'b"')) else error.encode()
    reason, text, arrow, *_ = [*data.split(b"\n"), b"", b""]
    told = reason.decode().rpartition("error: ")[2].rstrip(".")
    near = text.decode(errors="backslashreplace").strip()
    place = arrow.find(b"^")
    # The arrow stands behind N of NaN, behind or at I of Infinity.
    if "overflow" in told or set(b"NI") & set(text[max(place - 1, 0) : place + 1]):
        return _NumberOfPython(f"holds a number that JSON has not, near {near!r}")
    told = _WORDS.get(told, f"no JSON, or cut short: {told}")
    return ValueError(f"{told}, near {near!r}" if near else told)
