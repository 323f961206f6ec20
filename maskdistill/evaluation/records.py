"""Objects and masks of pictures, as the metrics of masks take them: a mapping for each of them.

In:   of an object: box (xyxy, half-open), category, crowd, and rle if its shape is known, else
      its region; of a mask: rle, box, score, and cluster or category; picture by picture, by id
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
    """Return objects as numbers by mask count them; None where boxes alone are known.

    An object without a mask is a crowd that fills its box, its `region`: a mask there is neither
    right nor wrong.
    """
    if any(map(len, truth.values())) and not any(
        "rle" in row for rows in truth.values() for row in rows
    ):
        return None
    return {
        number: [
            row if "rle" in row else {**row, "rle": row["region"], "crowd": True} for row in rows
        ]
        for number, rows in truth.items()
    }


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
