"""score: anybody's files of predictions against ground truth, without a run; common to both kinds.

In:   a function that scores, and the options that a user gave it
Out:  Score: rows like those of metrics.json and notes on what is odd; --out FILE.json, .csv or .md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from maskdistill.errors import SettingsError
from maskdistill.evaluation import tables
from maskdistill.evaluation.rows import rounded
from maskdistill.features.licences import UNKNOWN
from maskdistill.runs import atomic
from maskdistill.settings import nearest

SUFFIXES = (".json", ".csv", ".md")


@dataclass(frozen=True)
class Score:
    """Numbers of anybody's files, and sentences on what stands beside them.

    Attributes:
        rows: as in metrics.json, of the split `all`; not rounded, files alone are.
        weights: of the network that predicted, with their licence, as the user says.
    """

    rows: list[dict[str, Any]]
    notes: list[str]
    weights: str = UNKNOWN

    def table(self) -> str:
        """Return the table as Markdown, notes below."""
        notes = [*self.notes, f"weights of what predicted: {self.weights}"]
        return "\n".join([tables.table(self.rows), *(f"- {note}" for note in notes)])


def written(
    score: Callable[..., Score],
    predictions: Path,
    ground_truth: Path,
    out: str | Path | None,
    options: dict[str, Any],
    *,
    weights: str = "",
) -> Score:
    """Score two files, and write what was measured where wanted.

    Options and the form of the file to be written are checked before anything is read.

    Args:
        score: of score_instances.py or score_semantic.py. options: its own, by name.
        out: FILE.json, .csv or .md; None: nothing is written.
        weights: of the network that predicted, with their licence; "": unknown.

    Raises:
        SettingsError: an option that is none of its choices or out of range, a file of unknown
            form.
    """
    target = Path(out) if out is not None else None
    if target is not None and target.suffix not in SUFFIXES:
        raise SettingsError(
            f"out: {target} ends in none of {', '.join(SUFFIXES)}, so that its form is not known"
        )
    hints = get_type_hints(score)
    for name, value in options.items():
        choices = get_args(hints[name])
        if name != "only" and choices and value not in choices:
            shown = "matching" if name == "rule" else name
            raise SettingsError(
                f"{shown}: {value!r} is none of {', '.join(choices)}.{nearest(value, choices)}"
            )
        if hints[name] is int and value < 0:
            shown = "bootstrap" if name == "resamples" else name
            raise SettingsError(f"{shown} must be at least 0, got {value}")
    if options.get("only") is not None:
        options = {**options, "only": Path(options["only"])}
    made = replace(score(predictions, ground_truth, **options), weights=weights or UNKNOWN)
    if target is not None:
        write(made, target)
    return made


def write(score: Score, out: Path) -> None:
    """Write FILE.json (rows and notes), FILE.csv (rows) or FILE.md (table and notes)."""
    rows = rounded(score.rows)
    if out.suffix == ".json":
        written = {
            "format": 1,
            "weights": score.weights,
            "metrics": rows,
            "notes": score.notes,
        }
        atomic.write_json(out, written)
    elif out.suffix == ".md":
        atomic.write_text(out, score.table() + "\n")
    else:
        columns = ("stage", "name", "value", "low", "high", "pictures", "protocol", "weights")
        told = [{**row, "weights": score.weights} for row in rows]
        atomic.write_text(out, tables.as_csv(told, columns))
