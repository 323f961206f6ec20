"""Which masks of a search are objects, and which are its ground.

Paper:    none; MaskCut (CutLER) rejects small masks alone
In:       (rows, cols) bool
Out:      a verdict
Differs:  ours
"""

from __future__ import annotations

import numpy as np


def is_object(mask: np.ndarray, *, min_area: int, max_area: float, max_border: float) -> bool:
    """Whether a mask is neither too small nor too large, and leaves enough of the picture's border free.

    Args:
        mask: (rows, cols) bool.
        min_area: patches that it must have. max_area: share of all patches that it may have.
        max_border: share of the patches at the border that it may hold; a grid of one row is border alone.
    """
    border = np.ones(mask.shape, bool)
    border[1:-1, 1:-1] = False
    return bool(min_area <= mask.sum() <= max_area * mask.size and mask[border].mean() <= max_border)
