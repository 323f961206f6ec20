"""Rows of metrics as tables of text, which are Markdown too, and as CSV.

In:   rows of metrics.json, of against.json, published figures
Out:  text; values in per cent in tables for people, fractions in CSV
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from maskdistill.evaluation.rows import REPEATED

SPLITS = ("train", "validation", "all")
OF = {"chain": "chain", "clusters": "k-means alone"}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table: stage and name down, splits across, in per cent with their interval.

    A dash stands where there is no value. Rows over seeds stand in columns of their own, which say
        what was repeated: mean and deviation.
    """
    heads = sorted({_head(row) for row in rows})
    lines: dict[tuple[str, str], dict[tuple[int, str], str]] = {}
    for row in rows:
        lines.setdefault((row["stage"], row["name"]), {})[_head(row)] = shown(row)
    body = [
        [stage, name, *(cells.get(head, "-") for head in heads)]
        for (stage, name), cells in lines.items()
    ]
    return markdown([["stage", "metric", *(text for _, text in heads)], *body])


def _head(row: Mapping[str, Any]) -> tuple[int, str]:
    """Return place and text of the column that a row stands in."""
    place = 2 * SPLITS.index(row["split"])
    if "seeds" not in row:
        return place, row["split"]
    return place + 1, f"{row['split']} over seeds ({OF[row['of']]})"


def on_seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence on each kind of columns over seeds; empty where there are none."""
    kinds = dict.fromkeys(row["of"] for row in rows if "seeds" in row)
    return " ".join(
        f"Over seeds: mean ± standard deviation (n - 1), {REPEATED[kind]}." for kind in kinds
    )


def by_class(
    rows: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]] = ()
) -> list[list[str]]:
    """Return the lines of a table, head first: a row a class, IoU of each stage across.

    Published figures stand at the end.

    Args:
        rows: of one split; those that are called IoU/<class> count.
        published: rows {"name", "value", "source"}; a class that ours do not have stands at the
            end.
    """
    others = _of_classes(published)
    columns = list(
        dict.fromkeys(
            [*(_stage(row) for row in _of_classes(rows)), *(_origin(row) for row in others)]
        )
    )
    lines: dict[str, dict[str, str]] = {}
    for row in _of_classes(rows):
        lines.setdefault(row["name"].removeprefix("IoU/"), {})[_stage(row)] = shown(row)
    for row in others:
        lines.setdefault(row["name"].removeprefix("IoU/"), {})[_origin(row)] = shown(row)
    body = [
        [name, *(cells.get(column, "-") for column in columns)] for name, cells in lines.items()
    ]
    return [["class", *columns], *body]


def _of_classes(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["name"].startswith("IoU/")]


def _stage(row: Mapping[str, Any]) -> str:
    return f"{row['stage']}, over seeds ({OF[row['of']]})" if "seeds" in row else str(row["stage"])


def _origin(row: Mapping[str, Any]) -> str:
    return f"published: {row['source']}"


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV with a head; what a row does not have is empty.

    Args:
        columns: keys of the rows, `low` and `high` of their interval.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        low, high = row.get("interval") or (None, None)
        cells = {**row, "low": low, "high": high}
        writer.writerow(["" if cells.get(column) is None else cells[column] for column in columns])
    return text.getvalue()


def compared(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of two results as a table: both values, the difference with its interval, p."""
    body = [
        [
            row["stage"],
            row["name"],
            row["split"],
            shown({**row, "interval": None if row["other"] is not None else row["interval"]}),
            shown({"value": row["other"]}),
            shown(
                {
                    "value": row["difference"],
                    "interval": row["interval"] if row["other"] is not None else None,
                }
            ),
            "-" if row["p"] is None else f"{row['p']:.3f}",
        ]
        for row in rows
    ]
    return markdown([["stage", "metric", "split", "this", "other", "difference", "p"], *body])


def steps(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the steps of a run as a table: stage, the one before, both values, the difference.

    The difference has its interval and p, or mean and deviation over seeds. In per cent.
    """
    body = [
        [
            row["stage"],
            row["before"],
            row["name"],
            row["split"],
            shown({"value": row["value"]}),
            shown({"value": row["other"]}),
            shown({**row, "value": row["difference"]}),
            "-" if row["p"] is None else f"{row['p']:.3f}",
        ]
        for row in rows
    ]
    head = ["stage", "before it", "metric", "split", "this", "that", "difference", "p"]
    return markdown([head, *body])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of equal length, head first, as a table padded to each column's widest cell."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    marks = ["-" * width for width in widths]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        for line in [lines[0], marks, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def shown(row: Mapping[str, Any]) -> str:
    """Return a value in per cent with its interval, or over seeds with deviation and their number.

    >>> shown({"value": 0.5, "interval": [0.25, 0.75]}), shown({"value": None})
    ('50.0 (25.0 to 75.0)', '-')
    """
    value = row["value"]
    if value is None:
        return "-"
    if "seeds" in row:
        around = "" if row["spread"] is None else f" ± {100 * row['spread']:.1f}"
        return f"{100 * value:.1f}{around} ({row['seeds']} seed{'s' if row['seeds'] != 1 else ''})"
    interval = row.get("interval")
    around = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * value:.1f}{around}"
