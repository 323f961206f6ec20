"""Agreement: how far two results agree, without ground truth: two runs, two rounds, two seeds.

A result and the same of mirrored pictures, and training masks and detections, are such two.

In:       joint pixel counts of two label maps, the maps, or IoU of the masks of two results, by
          picture
Out:      shares in [0, 1], counts; of two runs the same whichever comes first, and whatever
          clusters are called
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from maskdistill.evaluation import bootstrap
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.label_map_counts import LabelMaps
from maskdistill.evaluation.records import HIT

OF_MASKS = (
    "share of the masks of both runs that have a partner of mask IoU >= 0.5 in the other, "
    "one to one"
)
OF_LABEL_MAPS = (
    "share of the pixels on which the label maps agree; clusters one to one by common pixels"
)
# Of the masks that a detector was trained on: 0.7 where it learns, 0.1 where it does not.
FOUND_AGAIN = 0.25
MIN_MASKS = 20  # before anything is said of a share of them


def of_masks(ious: Sequence[np.ndarray]) -> Statistic:
    """Return the share of both results' masks that have a partner in the other; nan without any.

    Args:
        ious: for each picture (masks of one, masks of the other).
    """
    met = np.array([2 * partners(iou) for iou in ious])
    return bootstrap.ratio(met, np.array([sum(iou.shape) for iou in ious]))


def partners(iou: np.ndarray) -> int:
    """Return how many masks of one result have a partner of IoU >= 0.5 in the other, one to one.

    Args:
        iou: (masks of one, masks of the other) of one picture; as many pairs as can be are made.
    """
    if not iou.size:
        return 0
    rows, columns = linear_sum_assignment(-(iou >= HIT).astype(np.float64))
    return int((iou[rows, columns] >= HIT).sum())


def found_again(iou: np.ndarray) -> int:
    """Return how many training masks of a picture its best detections meet: max_j IoU_ij >= 0.5.

    Over all pictures, the sum by the number of training masks is the found-again share. No ground
    truth is in it: a detector that has learnt finds most of its own training masks again, one that
    has not puts the same blot into every picture.

    Args:
        iou: (n training masks, m detections) of one picture, the n detections of highest score or
            fewer. Two masks may be met by one detection.

    >>> found_again(np.array([[0.5, 0.1], [0.6, 0.0], [0.4, 0.49]]))
    2
    """
    return int((iou.max(axis=1) >= HIT).sum()) if iou.size else 0


def has_learnt(n_masks: int, n_found: int) -> bool:
    """Return whether a detector has learnt: it finds a quarter of its training masks again.

    Of fewer than 20 masks nothing can be said, so that it counts as having learnt.

    Args:
        n_masks: masks that it was trained on.
        n_found: of these, the masks that it finds (`found_again`, over all pictures).

    >>> has_learnt(187, 8), has_learnt(200, 50), has_learnt(19, 0)
    (False, True, True)
    """
    return n_masks < MIN_MASKS or n_found >= FOUND_AGAIN * n_masks


def equal(label_map: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Return on how many pixels two label maps of one picture are equal, and how many there are.

    The share of equal pixels is the ratio of the sums over pictures. Clusters are not matched: both
    maps are one network's, of the picture and of the mirrored one, turned back.

    Args:
        label_map, other: (H, W) integers.
    Raises:
        ValueError: unlike shapes.

    >>> equal(np.array([[0, 1, 2]]), np.array([[0, 2, 2]]))
    (2, 3)
    """
    if label_map.shape != other.shape:
        raise ValueError(f"label maps must have one shape, got {label_map.shape}, {other.shape}")
    return int((label_map == other).sum()), label_map.size


def of_label_maps(joint: Sequence[np.ndarray]) -> Statistic:
    """Return the share of the pixels on which two results' label maps agree; nan without pixels.

    Args:
        joint: for each picture (1 + clusters of one, 1 + clusters of the other + 1),
            semantic.confusion of the two. Background stays background; clusters are matched one to
            one over all pictures, by the largest number of common pixels.
    """
    return LabelMaps(joint, rule="pixels").pixel_accuracy()
