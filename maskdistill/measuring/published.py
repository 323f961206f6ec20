"""Figures that others published, to stand beside a run's own: known for certain, or of a CSV.

The per-class tables of the release's README come under CC BY-NC with the rest of it and are not in
this package: who has them gives them with --published. They are shown, never computed with.

In:   the data of a run; a CSV of class, value, source
Out:  rows {"name", "value", "source", "protocol"}
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskdistill.datasets import voc
from maskdistill.errors import GroundTruthError, setting
from maskdistill.evaluation.rows import number as fraction
from maskdistill.settings import RunSettings, nearest

COLUMNS = ("class", "value", "source")
CAUTION = "not comparable unless protocol, data and weights are the same"
_PAPER = "MaskDistill, arXiv 2206.06363"
_RELEASE = "README of MaskDistill's release"
_MATCHED = "clusters to classes one to one"
# name, value as a fraction, source, protocol.
_VOC = (
    ("mIoU", 0.458, _PAPER, f"VOC 2012 val, {_MATCHED}, mean of runs"),
    ("mIoU", 0.489, _PAPER, f"VOC 2012 val, {_MATCHED}, after a CRF"),
    ("mIoU", 0.4846, _RELEASE, f"VOC 2012 val, {_MATCHED}, one checkpoint, no CRF"),
    (
        "mIoU, linear probe",
        0.587,
        _PAPER,
        "VOC 2012 val, last layer trained with labels of trainaug",
    ),
    (
        "mIoU, linear probe",
        0.6277,
        _PAPER,
        "VOC 2012 val, last layer trained with labels of trainaug, after a CRF",
    ),
    (
        "mask AP50, single",
        0.355,
        _PAPER,
        "VOC 2012, best prediction of a picture against one object",
    ),
    ("mask AP50, multi", 0.26, _PAPER, "VOC 2012, all predictions"),
)
_COCO20K = (
    (
        "mask AP50, single",
        0.153,
        _PAPER,
        "COCO20k, best prediction of a picture against one object",
    ),
    ("mask AP50, multi", 0.08, _PAPER, "COCO20k, all predictions"),
)


def beside(settings: RunSettings, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what stands beside a run's numbers: what is known for certain, and the user's CSV.

    Args:
        names: of the classes 1 .. C.
    Raises:
        GroundTruthError: the CSV cannot be read, or holds what it should not.
    """
    found, file = of_run(settings, names), settings.evaluate.published
    return found + (by_class(Path(file), ["background", *names]) if file else [])


def of_run(settings: RunSettings, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what was published for the data of a run.

    VOC's stand where its classes or its preset are VOC's, COCO20k's by preset.

    Args:
        names: of the classes 1 .. C.
    """
    known: tuple[tuple[str, float, str, str], ...] = ()
    if settings.preset == "paper-voc12" or tuple(names) == voc.CLASSES[1:]:
        known = _VOC
    elif settings.preset == "paper-coco20k":
        known = _COCO20K
    return [
        {"name": name, "value": value, "source": source, "protocol": f"{protocol}; {CAUTION}"}
        for name, value, source, protocol in known
    ]


def by_class(file: Path, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Read the rows `IoU/<class>` of a CSV: class, value (per cent, as papers print it), source.

    Args:
        classes: that may stand there, `background` among them; `mIoU` may, too.
    Raises:
        GroundTruthError: not there, other columns, an unknown class, a value that is no percentage,
            a class twice.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            if reader.fieldnames is None or not set(COLUMNS) <= set(reader.fieldnames):
                raise GroundTruthError(
                    f"{file}: its first line is {', '.join(reader.fieldnames or ['empty'])}, "
                    f"wanted the columns {', '.join(COLUMNS)}"
                )
            lines = list(enumerate(reader, 2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GroundTruthError(
            f"{file}: cannot be read as CSV ({error}). "
            f"Give {setting('evaluate.published', 'FILE.csv')}"
        ) from error
    if not lines:
        none = setting("evaluate.published", "''")
        raise GroundTruthError(
            f"{file}: holds no figures behind its first line. Give {none} for none"
        )
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for number, entry in lines:
        name, source = (entry["class"] or "").strip(), (entry["source"] or "").strip()
        where = f"{file}: line {number}: "
        if name not in (*classes, "mIoU"):
            raise GroundTruthError(
                f"{where}{name!r} is no class of the ground truth.{nearest(name, classes)}"
            )
        if not source:
            raise GroundTruthError(
                f"{where}says no source: a number that nobody can look up is not shown"
            )
        try:
            value = float(entry["value"] or "")
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise GroundTruthError(f"{where}{entry['value']!r} is no percentage, wanted 0 to 100")
        if (source, name) in rows:
            raise GroundTruthError(f"{where}{name} of {source} stands there twice")
        shown = name if name == "mIoU" else f"IoU/{name}"
        rows[source, name] = {
            "name": shown,
            "value": fraction(value / 100),
            "source": source,
            "protocol": CAUTION,
        }
    return list(rows.values())
