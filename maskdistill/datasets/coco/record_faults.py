"""Faults of records that are read one at a time: kept together, and said when all were read.

In:       the field that is wrong and its value; boxes beside those of masks
Out:      PredictionError with how many there are of each kind; findings of boxes that cannot be
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.datasets.coco import checks
from maskdistill.datasets.findings import Findings
from maskdistill.errors import PredictionError, listed
from maskdistill.masks import rle
from maskdistill.types import Rle


class Boxes:
    """Keep the boxes of a file beside those of its masks, to be looked at together."""

    def __init__(self) -> None:
        self.places, self.given, self.own, self.sides = (
            array("q"),
            array("d"),
            array("d"),
            array("d"),
        )

    def add(self, place: int, box: list[float], mask: Rle) -> None:
        """Take a box (xyxy, px) and the mask of the same record."""
        self.places.append(place)
        self.given.extend(box)
        self.own.extend(rle.boxes([mask])[0].tolist())
        self.sides.extend(mask["size"])

    def check(self, source: Path, told: Findings) -> None:
        """Tell of boxes that cannot be; PredictionError where all are fractions."""
        if self.places:
            given, own = (np.array(each).reshape(-1, 4) for each in (self.given, self.own))
            sides = np.array(self.sides).reshape(-1, 2)

            def name_of(place: int) -> str:
                return f"number {self.places[place]}"

            checks.corners(source, given, own, sides, name_of, told, PredictionError)


class Wrong:
    """Count records that cannot be used, by the field that is wrong, and keep its first values."""

    WHY: Mapping[str, str] = {
        "record": "no fields",
        "image_id": "an image_id that is not listed",
        "score": "a score that is no number in [0, 1]",
        "category_id": "a category_id out of range",
        "iscrowd": "an iscrowd that is neither 0 nor 1",
        "segmentation": "no mask that can be read",
        "bbox": "a bbox that is not x, y, width, height",
        "size": "a mask of another size than its picture",
    }

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, dict[str, None]] = {}

    def add(self, key: str, value: Any) -> None:
        """Count one record whose field `key` is wrong."""
        self.counts[key] += 1
        values = self.first.setdefault(key, {})
        if len(values) < 6:
            values[str(value)] = None

    def refuse(self, source: Path, n_rows: int, categories: Mapping[int, str] | None) -> None:
        """Raise PredictionError if a record was counted."""
        if not self.counts:
            return
        lines = [
            f"{self.counts[key]} of {n_rows} masks have {why}: {listed(list(self.first[key]))}"
            for key, why in self.WHY.items()
            if self.counts[key]
        ]
        if self.counts["category_id"] and categories:
            lines.append(f"its {len(categories)} categories: {listed(sorted(categories))}")
        raise PredictionError(
            f"{source}: {'; '.join(lines)}. Mend them or take them out: nothing was imported"
        )
