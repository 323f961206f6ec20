"""Lines of text that commands print: a result on standard output, tables, counts, states."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def print_lines(lines: list[str]) -> None:
    """Print a command's result on standard output; nothing more where nobody reads on."""
    with until_nobody_reads():
        for line in lines:
            print(line)


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Let a block print on standard output; where its reader has left, it ends without an error.

    That is `| head`. Only printing belongs into the block: a pipe that breaks elsewhere is a fault.
    """
    try:
        try:
            yield
        finally:  # tyro ends the process behind its help
            sys.stdout.flush()
    except BrokenPipeError:  # the interpreter's own flush at the end must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows of equal keys as lines of text, in columns, the keys first; one row at least.

    >>> table([{"method": "lost", "flips": 0.5}, {"method": "tokencut", "flips": None}])
    ['method    flips', 'lost      0.500', 'tokencut  -']
    """
    shown = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    ]


def _cell(value: Any) -> str:
    """Return a value as a table shows it: three places of a float, - where there is none."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def state(row: dict[str, Any]) -> str:
    """Return a row of `api.status` as a line, and a line for each reason why it is stale."""
    seconds = f"{row['seconds']:8.1f} s" if row["seconds"] is not None else " " * 10
    why = "".join(f"\n    {reason}" for reason in row["why"])
    return f"{row['stage']:<16} {row['state']:<10} {seconds}  {counted(row['counts'])}{why}"


def counted(counts: dict[str, int]) -> str:
    """Return counts in words: `pictures 3, refused 0`."""
    return ", ".join(f"{name} {value}" for name, value in counts.items())
