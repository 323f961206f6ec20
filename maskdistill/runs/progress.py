"""Progress on standard error: a bar with rate and time left, or a line every half minute.

The bar is for a terminal, the lines are for a file or a pipe.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

MOST_TOLD = 5  # refused pictures that are named on the terminal


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:.2f} {unit}/s" if task.speed else "", style="cyan")


class Bar:
    """Bar of one piece of work under way; `advance` is called for each item."""

    def __init__(
        self,
        title: str,
        total: int,
        done: int,
        unit: str,
        stream: TextIO | None,
        rich: RichProgress | None,
    ):
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self.stream, self.rich = stream, rich
        self.began, self.last, self.first = time.monotonic(), time.monotonic(), done
        self.task = rich.add_task(title, total=total, completed=done, unit=unit) if rich else None

    def advance(self, note: str = "") -> None:
        """Count one item more; `note` (a loss) stands beside the title."""
        self.at(self.done + 1, note)

    def at(self, done: int, note: str = "") -> None:
        """Set the number of items done; fewer than before where some must be done again."""
        self.done = done
        if self.rich and self.task is not None:
            self.rich.update(self.task, completed=done, description=f"{self.title} {note}".strip())
        elif self.stream and time.monotonic() - self.last >= 30:
            self.last = time.monotonic()
            print(self.line(note), file=self.stream, flush=True)

    def line(self, note: str = "") -> str:
        """Return title, count, rate and time left in one line."""
        seconds = time.monotonic() - self.began
        rate = (self.done - self.first) / seconds if seconds > 0 else 0.0
        left = _left((self.total - self.done) / rate) if rate > 0 and self.done < self.total else ""
        return f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.2f}/s{left} {note}".rstrip()


def _left(seconds: float) -> str:
    """Return the time left in words: ", 8.3 min left"; below a minute ", 12 s left", at least 1."""
    return f", {max(1.0, seconds):.0f} s left" if seconds < 60 else f", {seconds / 60:.1f} min left"


class Progress:
    """Place where bars and lines are shown; quiet=True shows none.

    Attributes:
        stream: standard error unless another is given; None where nothing is shown.
    """

    def __init__(self, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.quiet = quiet
        self.stream = None if quiet else (stream or sys.stderr)

    def say(self, text: str) -> None:
        """Print one line."""
        if self.stream:
            print(text, file=self.stream, flush=True)

    def left_out(
        self, reasons: list[str], *, names: str = "the report and ledger.jsonl name"
    ) -> None:
        """Print a line for each of the first pictures that were refused, and the number of others.

        Args:
            reasons: a sentence for each picture.
            names: the file that holds all of them, and the word `name` or `names`.
        """
        for reason in reasons[:MOST_TOLD]:
            self.say(f"left out: {reason}")
        if len(reasons) > MOST_TOLD:
            self.say(f"left out: {len(reasons) - MOST_TOLD} more; {names} them all")

    @contextmanager
    def bar(self, title: str, *, total: int, unit: str, done: int = 0) -> Iterator[Bar]:
        """Show a bar, and yield it, for `total` items of which `done` are there already."""
        if self.stream is None or not self.stream.isatty():
            bar = Bar(title, total, done, unit, self.stream, None)
            yield bar
            if self.stream and bar.done > bar.first:
                self.say(bar.line())
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(file=self.stream)) as rich:
            yield Bar(title, total, done, unit, self.stream, rich)
