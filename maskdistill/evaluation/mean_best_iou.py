"""Mean best IoU: how well the best mask for each object covers it.

In:   mask IoU of a picture's masks with its objects
Out:  the mean over all objects of the largest IoU; an object of a picture without masks has 0
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdistill.evaluation import bootstrap
from maskdistill.evaluation.bootstrap import Statistic

PROTOCOL = "mask IoU of the best mask, mean over objects, crowds are none"


def statistic(ious: Sequence[np.ndarray]) -> Statistic:
    """Return the mean over all objects of the largest IoU with any mask; nan without objects.

    Args:
        ious: for each picture (masks, objects), as `records.ious` gives them.
    """
    best = [iou.max(axis=0).sum() if len(iou) else 0.0 for iou in ious]
    return bootstrap.ratio(np.array(best), np.array([iou.shape[1] for iou in ious]))
