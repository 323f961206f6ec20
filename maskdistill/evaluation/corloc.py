"""CorLoc: the share of pictures whose one best box meets an object.

Paper:    Deselaers et al., ECCV 2010; as in LOST's evaluation: IoU >= 0.5 is a hit
In:       one box a picture, the boxes of its objects
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdistill.evaluation import bootstrap, records
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.records import HIT, Records
from maskdistill.masks import boxes as box_ops

PROTOCOL = (
    "box IoU >= 0.5 of the best-scored {what} with any object; "
    "pictures with objects, crowds are none"
)


def corloc(
    boxes: Sequence[np.ndarray | None],
    truth_boxes: Sequence[np.ndarray],
    *,
    count_empty: bool = True,
) -> float:
    """Return the share of pictures whose box has IoU >= 0.5 with any object; nan without pictures.

    Args:
        boxes: for each picture (4,) half-open xyxy, or None, which is a miss.
        truth_boxes: for each picture (n, 4).
        count_empty: pictures without objects count as misses; else they are left out.

    >>> objects = np.array([[0, 0, 10, 10]])
    >>> corloc([np.array([0, 0, 10, 5]), None], [objects, objects])
    0.5
    """
    found = hits(boxes, truth_boxes)
    return share(
        [hit for hit, truth in zip(found, truth_boxes, strict=True) if count_empty or len(truth)]
    )


def hits(boxes: Sequence[np.ndarray | None], truth_boxes: Sequence[np.ndarray]) -> list[bool]:
    """Return for each picture whether its box has IoU >= 0.5 with any of its objects."""
    return [
        box is not None
        and len(truth) > 0
        and bool((box_ops.iou(np.asarray(box)[None], truth) >= HIT).any())
        for box, truth in zip(boxes, truth_boxes, strict=True)
    ]


def share(hits: Sequence[bool]) -> float:
    """Return CorLoc from the hits of `hits`; nan without pictures."""
    return float(np.mean(hits)) if len(hits) else float("nan")


def statistic(truth: Records, results: Records) -> Statistic:
    """Return CorLoc of each picture's best-scored mask, over the pictures with objects.

    Args:
        truth: box and crowd of each object; crowds are no objects here.
        results: box and score of each mask; a picture without any is a miss.
    """
    found = [records.best(results.get(number, ())) for number in truth]
    boxes = [None if row is None else np.asarray(row["box"]) for row in found]
    truth_boxes = [records.boxes(records.solid(rows)) for rows in truth.values()]
    counted = np.array([len(each) > 0 for each in truth_boxes], bool)
    return bootstrap.ratio(np.array(hits(boxes, truth_boxes), bool) & counted, counted)
