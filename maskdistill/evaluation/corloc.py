"""Whether the one best box, or the masks, of a picture meet its objects.

Paper:    CorLoc: Deselaers et al., ECCV 2010; as in LOST's evaluation: IoU >= 0.5 is a hit
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdistill.masks import boxes as box_ops

HIT = 0.5  # IoU, itself a hit


def corloc(
    boxes: Sequence[np.ndarray | None],
    truth_boxes: Sequence[np.ndarray],
    *,
    count_empty: bool = True,
) -> float:
    """Share of pictures whose box has IoU >= 0.5 with any object; nan without pictures.

    Args:
        boxes: for each picture (4,) half-open xyxy, or None, which is a miss.
        truth_boxes: for each picture (n, 4).
        count_empty: pictures without objects count as misses; else they are left out.
    """
    found = hits(boxes, truth_boxes)
    kept = [hit for hit, truth in zip(found, truth_boxes, strict=True) if count_empty or len(truth)]
    return float(np.mean(kept)) if kept else float("nan")


def hits(boxes: Sequence[np.ndarray | None], truth_boxes: Sequence[np.ndarray]) -> list[bool]:
    """For each picture whether its box meets an object."""
    return [
        box is not None
        and len(truth) > 0
        and bool((box_ops.iou(np.asarray(box)[None], truth) >= HIT).any())
        for box, truth in zip(boxes, truth_boxes, strict=True)
    ]


def mean_best_iou(ious: Sequence[np.ndarray]) -> float:
    """Mean over all objects of the largest IoU with any mask of their picture; nan without objects.

    Args:
        ious: for each picture (masks, objects); an object of a picture without masks has 0.
    """
    best = [iou.max(axis=0) if len(iou) else np.zeros(iou.shape[1]) for iou in ious if iou.shape[1]]
    return float(np.concatenate(best).mean()) if best else float("nan")
