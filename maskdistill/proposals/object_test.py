"""Object test: tells a mask of an object from one of the ground, by its area and the border.

Paper:    none; MaskCut (CutLER) rejects small masks alone
In:       (rows, cols) bool
Out:      True for an object
Differs:  ours
"""

from __future__ import annotations

import numpy as np


def is_object(mask: np.ndarray, *, min_area: int, max_area: float, max_border: float) -> bool:
    """Return whether a mask is neither too small nor too large, nor holds too much of the border.

    Args:
        mask: (rows, cols) bool.
        min_area: patches that the mask must have.
        max_area: share of all patches that the mask may have.
        max_border: share of the patches at the picture's border that the mask may hold; a grid of
            one row is border alone.

    >>> mask = np.zeros((4, 5), bool)
    >>> mask[1:3, 1:4] = True
    >>> is_object(mask, min_area=6, max_area=0.5, max_border=0.0)
    True
    """
    border = np.ones(mask.shape, bool)
    border[1:-1, 1:-1] = False
    return bool(
        min_area <= mask.sum() <= max_area * mask.size and mask[border].mean() <= max_border
    )


def check_limits(
    *, stop_score: float = 0.0, min_area: int = 1, max_area: float = 1.0, max_border: float = 1.0
) -> None:
    """Raise ValueError where a limit of a search is out of range.

    Args:
        stop_score: in [0, 1].
        min_area: patches, at least 1.
        max_area, max_border: shares in (0, 1].
    """
    if not 0 <= stop_score <= 1:  # nan fails too, here and below
        raise ValueError(f"stop_score must be in [0, 1], got {stop_score}")
    if not min_area >= 1:
        raise ValueError(f"min_area must be at least 1, got {min_area}")
    for name, value in (("max_area", max_area), ("max_border", max_border)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}")
