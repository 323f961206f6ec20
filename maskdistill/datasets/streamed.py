"""JSON files that are too large to be held whole: the records of their lists, one at a time.

In:       a file that is a list, or an object whose values may be lists (COCO's datasets)
Out:      (key, record) in the order of the file; never more than a chunk and a record in memory
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20  # characters that are read at a time
_SLACK = 16  # characters before the end of a chunk in which a number or a word may have been cut
_SPACE = " \t\n\r"


def records(
    source: Path, wanted: Container[str] = (), *, chunk: int = CHUNK, seen: set[str] | None = None
) -> Iterator[tuple[str | None, Any]]:
    """The records of a list, each with the key None; of an object those of the lists at the wanted keys.

    Other lists are passed over a record at a time; what is no list is passed over whole.

    Args:
        seen: the keys of lists that were met are put into it, of empty ones too.
    Raises:
        ValueError: no JSON, cut short, more behind its end, neither list nor object. OSError: cannot be read.
    """
    with source.open(encoding="utf-8") as file:
        text = _Text(file, chunk)
        start = text.next_sign()
        if start == "[":
            yield from ((None, record) for record in text.members())
        elif start == "{":
            for key in text.entries():
                if text.next_sign() != "[":
                    text.value()
                    continue
                if seen is not None:
                    seen.add(key)
                for record in text.members():
                    if key in wanted:
                        yield key, record
        else:
            raise ValueError(
                f"begins with {start!r}, wanted a list or an object" if start else "holds nothing"
            )
        if rest := text.next_sign():
            raise ValueError(f"goes on with {rest!r} behind its end")


def is_list(source: Path) -> bool:
    """Whether a file begins as a list. Raises: OSError, ValueError: cannot be read, no UTF-8."""
    with source.open(encoding="utf-8") as file:
        return _Text(file, 1024).next_sign() == "["


class _Text:
    """A file's text from the current place on, of which as much is held as is needed."""

    def __init__(self, file: IO[str], chunk: int) -> None:
        self.file, self.chunk = file, chunk
        self.held, self.place, self.is_whole = "", 0, False
        self.decode = json.JSONDecoder().raw_decode

    def next_sign(self) -> str:
        """The next character that is no space, not passed over; empty at the end."""
        while True:
            while self.place < len(self.held) and self.held[self.place] in _SPACE:
                self.place += 1
            if self.place < len(self.held):
                return self.held[self.place]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that begins here."""
        self.next_sign()
        while True:
            try:
                value, end = self.decode(self.held, self.place)
            except json.JSONDecodeError as error:
                # What was cut by the chunk fails at its end; what fails before is no JSON, however much follows.
                near = error.pos >= len(self.held) - _SLACK or error.msg.startswith(
                    "Unterminated string"
                )
                if near and self._more():
                    continue
                raise ValueError(error.msg + (", or cut short" if near else "")) from error
            # A number that ends with the chunk may go on in the next one, and be cut behind its point or its e.
            if end + 3 > len(self.held) and self._more():
                continue
            self.place = end
            return value

    def members(self) -> Iterator[Any]:
        """The values of the list that begins here."""
        for _ in self._parts("[", "]"):
            yield self.value()

    def entries(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller takes the value of each."""
        for _ in self._parts("{", "}"):
            key = self.value()
            sign = self.next_sign()
            if not isinstance(key, str) or sign != ":":
                raise ValueError(
                    f"wanted a key and a colon, found {key!r} and {sign!r}" if sign else "cut short"
                )
            self.place += 1
            yield key

    def _parts(self, opening: str, closing: str) -> Iterator[None]:
        assert self.next_sign() == opening
        self.place += 1
        if self.next_sign() == closing:
            self.place += 1
            return
        while True:
            yield
            sign = self.next_sign()
            if sign not in (",", closing) or not sign:
                raise ValueError(f"wanted , or {closing}, found {sign!r}" if sign else "cut short")
            self.place += 1
            if sign == closing:
                return

    def _more(self) -> bool:
        """Hold another chunk, and let go of what was passed over; whether there was more."""
        if self.is_whole:
            return False
        more = self.file.read(max(self.chunk, len(self.held) - self.place))
        if not more:
            self.is_whole = True
            return False
        self.held, self.place = self.held[self.place :] + more, 0
        return True
