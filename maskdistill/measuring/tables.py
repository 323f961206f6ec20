"""Files and texts of evaluate: a run's numbers as JSON, Markdown, CSV, by class; ten lines of them.

In:   rows of metrics.json, figures of others, confusions
Out:  metrics.json, metrics.md, metrics.csv, classes.md, classes.csv, confusion-<split>-<stage>.csv
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import weights_used
from maskdistill.evaluation import tables
from maskdistill.evaluation.rows import Measure
from maskdistill.measuring import stage_numbers
from maskdistill.measuring.published import CAUTION
from maskdistill.report.measured import MAIN, SPLITS
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
STEPS = "What each stage gained over the one before it, on the same pictures:"
NO_CLASS = "no class"  # the column of predictions that are none: clusters without a class
MOST_NOTES = (
    2  # lines of a summary, which has ten: its first and last, the truth, and six stages at most
)


@dataclass
class Evaluated:
    """The numbers of one run.

    Attributes:
        rows: of metrics.json.
        published: figures of others, {"name", "value", "source", "protocol"}.
        names: of the classes, background first.
        confusions: (split, stage) -> (classes, classes + 1) pixels.
        notes: (split, stage) -> what became of pictures that the stage has nothing of.
        void: split -> pixels of the truth that no label map counts, and all.
        truth: sentences on the ground truth: what has one, what is void, what is odd in it.
        steps: what each stage gained over the one before, rows of measuring/steps.py.
        same: split -> measures that no seed changes, for the steps of other seeds; not written.
        without_truth: what each stage says of itself, {"stage", "name", "value"}.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    confusions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    void: dict[str, tuple[int, int]] = field(default_factory=dict)
    truth: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    same: dict[str, list[Measure]] = field(default_factory=dict, repr=False)
    without_truth: list[dict[str, Any]] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return the notes as lines of text, each with its stage and split."""
        return [f"{stage}, {split}: {note}" for (split, stage), note in self.notes.items()]


def write(folder: EvaluateFolder, made: Evaluated, settings: RunSettings) -> list[Path]:
    """Write all files, and return their paths.

    What an earlier evaluation left and this one does not have is removed, but for a comparison with
    another run, which stands until the next.
    """
    atomic.make_folder(folder.path)
    weights = weights_used.used(settings)
    told = weights_used.line(weights)
    published = [{"stage": "published", **row} for row in made.published]
    written = {
        "format": 1,
        "weights": weights,
        "metrics": made.rows,
        "steps": made.steps,
        "truth": made.truth,
        "notes": made.sentences(),
        "published": published,
        "without_truth": made.without_truth,
    }
    atomic.write_json(folder.metrics, written)
    atomic.write_text(folder.table, text(made, settings) + "\n")
    every = [{**row, "weights": told} for row in made.rows] + [
        {**row, "weights": ""} for row in published
    ]
    atomic.write_text(folder.rows, tables.as_csv(every, (*ROWS, "weights")))
    classes = _write_classes(folder, made, told)
    wanted = {folder.confusion(*place): each for place, each in made.confusions.items()}
    for old in folder.confusions():
        if old not in wanted:
            old.unlink()
    for path, counts in wanted.items():
        atomic.write_text(path, confusion_csv(counts, made.names))
    return [folder.metrics, folder.table, folder.rows, *classes, *wanted]


def text(made: Evaluated, settings: RunSettings) -> str:
    """Return the whole table for people: ours, what others published, the weights."""
    alone = stage_numbers.table(made.without_truth)
    if not made.rows:
        nothing = "No ground truth was given: nothing was measured against it."
        return "\n\n".join(part for part in (nothing, alone) if part)
    parts = [tables.table(made.rows)]
    if made.steps:
        parts.append(f"{STEPS}\n\n{tables.steps(made.steps)}")
    whole = [row for row in made.published if not row["name"].startswith("IoU/")]
    if whole:
        head = [["published", "value", "source", "protocol"]]
        body = [
            [row["name"], f"{100 * row['value']:.1f}", row["source"], row["protocol"]]
            for row in whole
        ]
        parts.append(tables.markdown([*head, *body]))
    parts += [
        "\n".join(f"- ground truth: {sentence}" for sentence in made.truth),
        "\n".join(f"- {sentence}" for sentence in made.sentences()),
        tables.on_seeds(made.rows),
        alone,
        f"Weights: {weights_used.line(weights_used.used(settings))}",
    ]
    return "\n\n".join(part for part in parts if part)


def summary(made: Evaluated, folder: EvaluateFolder) -> str:
    """Return ten lines or so: one number a stage, on held-out pictures where it has one there.

    What is odd in the ground truth has a line each: it says what the numbers are of.

    Args:
        folder: of the run's evaluation, where all are.
    """
    if not made.rows:
        return "No ground truth was given: nothing was measured."
    lines = [
        [stage, name, " over seeds ".join(map(tables.shown, rows)), rows[0]["split"]]
        for stage, names in MAIN.items()
        if (rows := _main(made.rows, stage, names))
        for name in [rows[0]["name"]]
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    notes = made.sentences()
    if len(notes) > MOST_NOTES:
        notes = [*notes[: MOST_NOTES - 1], f"{len(notes) - MOST_NOTES + 1} more notes there"]
    return "\n".join(
        [
            "evaluate, in per cent with 95 % intervals:",
            *(f"  {line}" for line in shown),
            *(f"  - ground truth: {sentence}" for sentence in made.truth),
            *(f"  - {note}" for note in notes),
            f"All {len(made.rows)} numbers: {folder.table}, or maskdistill evaluate {folder.path.parent} --all",
        ]
    )


def _main(rows: Sequence[dict[str, Any]], stage: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the row of a stage's one number, and the same over seeds; none where it has none."""
    known = [row for row in rows if row["stage"] == stage and row["value"] is not None]
    for split in SPLITS:
        for name in names:
            found = [row for row in known if (row["split"], row["name"]) == (split, name)]
            if found:
                return sorted(found, key=lambda row: "seeds" in row)
    return []


def confusion_csv(counts: np.ndarray, names: Sequence[str]) -> str:
    """Return pixels as CSV: a row a true class, a column a predicted one, by name.

    Args:
        counts: (classes, classes + 1); the last column, no class, is called so.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["truth", *names, NO_CLASS])
    writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return written.getvalue()


def read_confusion(
    folder: EvaluateFolder, split: str, stage: str
) -> tuple[list[str], np.ndarray] | None:
    """Return the names of the classes and the pixels (classes, classes + 1) int64 of a file.

    None where no such file is there.
    """
    path = folder.confusion(split, stage)
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    return head[1:-1], np.array([line[1:] for line in lines], np.int64).reshape(len(lines), -1)


def _write_classes(folder: EvaluateFolder, made: Evaluated, told: str) -> list[Path]:
    """Write classes.md, a table a split, and classes.csv, a line a class, stage and split.

    Return their paths; none without an IoU of a class, and what an earlier one left is removed.
    """
    of_classes = [row for row in made.rows if row["name"].startswith("IoU/")]
    by_others = [row for row in made.published if row["name"].startswith("IoU/")]
    if not of_classes:
        folder.classes_table.unlink(missing_ok=True)
        folder.classes_rows.unlink(missing_ok=True)
        return []
    pieces = []
    for split in dict.fromkeys(row["split"] for row in of_classes):
        own = [row for row in of_classes if row["split"] == split]
        table = tables.markdown(tables.by_class(own, by_others))
        pieces.append(f"IoU of each class in per cent, {split}\n\n{table}")
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
    return [folder.classes_table, folder.classes_rows]
