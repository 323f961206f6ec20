"""Alignment: a clustering's ids brought into line with another's, so that both can be compared.

Paper:    none; Hungarian, Kuhn 1955, through scipy
In:       how much each cluster overlaps each of the other clustering: masks or pixels shared
Out:      new ids
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def aligned(overlap: np.ndarray) -> np.ndarray:
    """Return the new id of each of our clusters, by the clusters of another clustering.

    Partners are one to one, of the largest sum of overlaps. A cluster takes its partner's id; one
    without a partner, or that shares nothing with it, an id that is left, in our order. Where the
    other clustering has more clusters than ours, the ids close up in its order, and those without a
    partner come last.

    Args:
        overlap: (ours, theirs), at least 0: masks or pixels that each two clusters share.
    Returns:
        (ours,) int64: 0 .. ours - 1, each once.

    >>> aligned(np.array([[0, 5], [7, 1]]))  # our 0 meets their 1, our 1 their 0
    array([1, 0])
    >>> aligned(np.array([[0], [9], [0]]))
    array([1, 0, 2])
    """
    rows, columns = linear_sum_assignment(-np.asarray(overlap, np.float64))
    partner = np.full(len(overlap), -1)
    partner[rows] = np.where(overlap[rows, columns] > 0, columns, -1)
    if overlap.shape[1] <= len(overlap):
        # All ids of theirs are there to take: a partner's id is kept as it is, gaps are filled by
        # those without one.
        free = iter(sorted(set(range(len(overlap))) - set(partner[partner >= 0].tolist())))
        return np.array([which if which >= 0 else next(free) for which in partner], np.int64)
    order = sorted(range(len(overlap)), key=lambda row: (partner[row] < 0, partner[row], row))
    found = np.empty(len(overlap), np.int64)
    found[order] = np.arange(len(overlap))
    return found
