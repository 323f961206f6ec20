"""Rows of metrics as a table of text, which is Markdown too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Stage and name down, splits across; values in percent with their interval, a dash where there is none."""
    splits = sorted({row["split"] for row in rows}, key=("train", "validation", "all").index)
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row["stage"], row["name"]), {})[row["split"]] = _shown(row)
    body = [[stage, name, *(cells.get(split, "-") for split in splits)] for (stage, name), cells in lines.items()]
    return markdown([["stage", "metric", *splits], *body])


def compared(rows: Sequence[Mapping[str, Any]]) -> str:
    """Two results: stage, name and split down; both values, the difference with its interval, and p."""
    body = [
        [
            row["stage"],
            row["name"],
            row["split"],
            _shown({**row, "interval": None if row["other"] is not None else row["interval"]}),
            _shown({"value": row["other"]}),
            _shown({"value": row["difference"], "interval": row["interval"] if row["other"] is not None else None}),
            "-" if row["p"] is None else f"{row['p']:.3f}",
        ]
        for row in rows
    ]
    return markdown([["stage", "metric", "split", "this", "other", "difference", "p"], *body])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of equal length, the first the head, as a table padded to the widest cell of each column."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    marks = ["-" * width for width in widths]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in [lines[0], marks, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _shown(row: Mapping[str, Any]) -> str:
    value = row["value"]
    if value is None:
        return "-"
    interval = row.get("interval")
    around = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * value:.1f}{around}"
