"""Objects and masks of pictures, as the metrics of masks take them: a mapping for each of them.

In:   of an object: box (xyxy, half-open), category, crowd, and rle if its shape is known; of a
      mask: rle, box, score, and cluster or category; picture by picture, by id
Out:  what several metrics need of them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from maskdistill.masks import rle

HIT = 0.5  # IoU from which a mask or box counts as one of an object, itself a hit; PASCAL VOC's

Record = Mapping[str, Any]
Records = Mapping[int, Sequence[Record]]  # picture id -> its records, none where it has none


def solid(objects: Iterable[Record]) -> list[Record]:
    """Return the objects that are no crowds, in their order."""
    return [row for row in objects if not row["crowd"]]


def with_masks(truth: Records) -> Records | None:
    """Return the objects whose shape is known, of all pictures; None where only boxes are known."""
    found = {number: [row for row in rows if "rle" in row] for number, rows in truth.items()}
    return found if any(found.values()) or not any(map(len, truth.values())) else None


def best(masks: Iterable[Record]) -> Record | None:
    """Return the mask of highest score, of equal ones the first; None without masks."""
    return max(masks, key=lambda row: row["score"], default=None)


def boxes(of: Sequence[Record]) -> np.ndarray:
    """Return the boxes (n, 4) float64 of records, half-open xyxy."""
    return np.array([row["box"] for row in of], np.float64).reshape(-1, 4)


def ious(truth: Records, results: Records) -> list[np.ndarray]:
    """Return for each picture of the truth the mask IoU (masks, objects that are no crowds)."""
    return [
        rle.iou(
            [row["rle"] for row in results.get(number, ())], [row["rle"] for row in solid(objects)]
        )
        for number, objects in truth.items()
    ]
