"""What evaluate writes: the numbers of a run as JSON, Markdown and CSV, by class too, and the confusion of classes.

In:   rows of metrics.json, figures of others, confusions
Out:  metrics.json, metrics.md, metrics.csv, classes.md, classes.csv, confusion-<split>-<stage>.csv
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskdistill.artifacts import weights_used
from maskdistill.evaluation import tables
from maskdistill.measuring.published import CAUTION
from maskdistill.runs import atomic
from maskdistill.runs.layout import EvaluateFolder
from maskdistill.settings import RunSettings

ROWS = (
    "stage",
    "name",
    "split",
    "value",
    "low",
    "high",
    "seeds",
    "spread",
    "of",
    "pictures",
    "source",
    "protocol",
)
CLASSES = ("split", "class", "stage", "value", "low", "high", "seeds", "spread", "of", "source")
NO_CLASS = "no class"  # the column of predictions that are none: clusters without a class


@dataclass
class Evaluated:
    """What was measured of one run.

    Attributes:
        rows: of metrics.json. published: figures of others, {"name", "value", "source", "protocol"}.
        names: of the classes, background first.
        confusions: (split, stage) -> (classes, classes + 1) pixels.
        notes: (split, stage) -> what became of pictures that the stage has nothing of.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    confusions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    notes: dict[tuple[str, str], str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Return the notes as lines of text, each with its stage and split."""
        return [f"{stage}, {split}: {note}" for (split, stage), note in self.notes.items()]


def write(folder: EvaluateFolder, made: Evaluated, settings: RunSettings) -> None:
    """Write all of it; what an earlier evaluation left and this one does not have is removed."""
    atomic.make_folder(folder.path)
    weights = weights_used.used(settings)
    told = weights_used.line(weights)
    published = [{"stage": "published", **row} for row in made.published]
    written = {
        "format": 1,
        "weights": weights,
        "metrics": made.rows,
        "notes": made.sentences(),
        "published": published,
    }
    atomic.write_json(folder.metrics, written)
    atomic.write_text(folder.table, text(made, settings) + "\n")
    every = [{**row, "weights": told} for row in made.rows] + [
        {**row, "weights": ""} for row in published
    ]
    atomic.write_text(folder.rows, tables.as_csv(every, (*ROWS, "weights")))
    _write_classes(folder, made, told)
    wanted = {folder.confusion(*place): each for place, each in made.confusions.items()}
    for old in folder.confusions():
        if old not in wanted:
            old.unlink()
    for path, counts in wanted.items():
        atomic.write_text(path, confusion_csv(counts, made.names))


def text(made: Evaluated, settings: RunSettings) -> str:
    """The table for people: ours, what others published, the weights."""
    if not made.rows:
        return "No ground truth was given: nothing was measured."
    parts = [tables.table(made.rows)]
    whole = [row for row in made.published if not row["name"].startswith("IoU/")]
    if whole:
        head = [["published", "value", "source", "protocol"]]
        body = [
            [row["name"], f"{100 * row['value']:.1f}", row["source"], row["protocol"]]
            for row in whole
        ]
        parts.append(tables.markdown([*head, *body]))
    parts += [
        "\n".join(f"- {sentence}" for sentence in made.sentences()),
        tables.on_seeds(made.rows),
        f"Weights: {weights_used.line(weights_used.used(settings))}",
    ]
    return "\n\n".join(part for part in parts if part)


def confusion_csv(counts: np.ndarray, names: Sequence[str]) -> str:
    """Pixels as CSV: a row a true class, a column a predicted one, both by name; the last column is no class."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["truth", *names, NO_CLASS])
    writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return written.getvalue()


def read_confusion(
    folder: EvaluateFolder, split: str, stage: str
) -> tuple[list[str], np.ndarray] | None:
    """Names of the classes and (classes, classes + 1) int64 of what `write` wrote, None where it is not there."""
    path = folder.confusion(split, stage)
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    return head[1:-1], np.array([line[1:] for line in lines], np.int64).reshape(len(lines), -1)


def _write_classes(folder: EvaluateFolder, made: Evaluated, told: str) -> None:
    """classes.md, a table a split, and classes.csv, a line a class, stage and split."""
    of_classes = [row for row in made.rows if row["name"].startswith("IoU/")]
    by_others = [row for row in made.published if row["name"].startswith("IoU/")]
    if not of_classes:
        folder.classes_table.unlink(missing_ok=True)
        folder.classes_rows.unlink(missing_ok=True)
        return
    pieces = []
    for split in dict.fromkeys(row["split"] for row in of_classes):
        own = [row for row in of_classes if row["split"] == split]
        pieces.append(
            f"IoU of each class in per cent, {split}\n\n{tables.markdown(tables.by_class(own, by_others))}"
        )
    if by_others:
        pieces.append(f"Published figures are {CAUTION}.")
    pieces += [tables.on_seeds(of_classes), f"Weights: {told}"]
    atomic.write_text(folder.classes_table, "\n\n".join(piece for piece in pieces if piece) + "\n")
    rows = [{**row, "class": row["name"].removeprefix("IoU/")} for row in of_classes]
    rows += [
        {**row, "class": row["name"].removeprefix("IoU/"), "stage": "published"}
        for row in by_others
    ]
    weights = [{**row, "weights": "" if row["stage"] == "published" else told} for row in rows]
    atomic.write_text(folder.classes_rows, tables.as_csv(weights, (*CLASSES, "weights")))
