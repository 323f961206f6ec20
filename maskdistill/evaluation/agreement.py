"""How far two results agree, without ground truth: two runs, two rounds, two seeds.

In:       joint pixel counts of two label maps, or IoU of the masks of two results, picture by picture
Out:      values in [0, 1]; the same whichever result comes first, and whatever the clusters are called
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from maskdistill.evaluation.corloc import HIT
from maskdistill.evaluation.matching import match_label_maps


def pixels(joint: np.ndarray) -> float:
    """Share of the pixels on which two results' label maps agree, clusters matched one to one; nan without pixels.

    Args:
        joint: (1 + clusters of one, 1 + clusters of the other + 1): semantic.confusion of the two, summed over the
            pictures. Background stays background; the matching has the largest number of common pixels.
    """
    total = joint.sum()
    if not total:
        return float("nan")
    _, renamed = match_label_maps(joint, rule="pixels")
    return float(np.diag(renamed[:, : len(renamed)]).sum() / total)


def partners(iou: np.ndarray) -> int:
    """How many masks of one result have a partner of IoU >= 0.5 in the other, one to one, as many as can be.

    Args:
        iou: (masks of one, masks of the other) of one picture.
    """
    if not iou.size:
        return 0
    rows, columns = linear_sum_assignment(-(iou >= HIT).astype(np.float64))
    return int((iou[rows, columns] >= HIT).sum())


def masks(ious: Sequence[np.ndarray]) -> float:
    """Share of the masks of both results that have a partner in the other; nan where neither has any.

    Args:
        ious: for each picture (masks of one, masks of the other).
    """
    total = sum(sum(iou.shape) for iou in ious)
    return 2 * sum(partners(iou) for iou in ious) / total if total else float("nan")
