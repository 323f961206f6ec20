"""Which masks of a search are objects, and which are its ground or its end.

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
    return bool(
        min_area <= mask.sum() <= max_area * mask.size and mask[border].mean() <= max_border
    )


def check_limits(
    *, stop_score: float = 0.0, min_area: int = 1, max_area: float = 1.0, max_border: float = 1.0
) -> None:
    """ValueError where a limit of a search is out of range; what a method does not have stays at its default."""
    if not 0 <= stop_score <= 1:  # nan fails too, here and below
        raise ValueError(f"stop_score must be in [0, 1], got {stop_score}")
    if not min_area >= 1:
        raise ValueError(f"min_area must be at least 1, got {min_area}")
    for name, value in (("max_area", max_area), ("max_border", max_border)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}")
