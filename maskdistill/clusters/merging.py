"""Merging: many small clusters, gathered to fewer by how near their centroids are, no labels.

Paper:    none; the release merges by ground-truth majority, which is evaluation
          (evaluation.matching.majority)
In:       centroids (many, d), their sizes
Out:      the group of each
Differs:  ours: Ward's criterion, weighed by size
"""

from __future__ import annotations

import numpy as np


def merged(centroids: np.ndarray, sizes: np.ndarray, *, k: int) -> np.ndarray:
    """Return the group of each centroid, the groups by falling size.

    Step by step the two groups are joined whose union adds the least to the sum of squared
    distances (Ward): of two equally near pairs the smaller one. Of equal costs the pair of the
    lowest ids.

    Args:
        centroids: (many, d). sizes: (many,), masks of each, above 0.
        k: groups, 1 .. many.
    Returns:
        (many,) int64: 0 .. k - 1, 0 the largest group.
    Raises:
        ValueError: k out of range, or a size that is not above 0.

    >>> merged(np.array([[0.0], [0.1], [5.0]]), np.array([1, 2, 9]), k=2)
    array([1, 1, 0])
    """
    if not 1 <= k <= len(centroids):
        raise ValueError(f"k must be in 1..{len(centroids)}, got {k}")
    weights = np.asarray(sizes, np.float64).copy()
    if not (weights > 0).all():
        raise ValueError("sizes: wanted above 0, found one that is not")
    middles = centroids.astype(np.float64)
    groups = np.arange(len(centroids))
    alive = np.ones(len(centroids), bool)
    for _ in range(len(centroids) - k):
        places = np.flatnonzero(alive)
        squared = ((middles[places, None] - middles[None, places]) ** 2).sum(axis=2)
        own = weights[places]
        cost = squared * own[:, None] * own[None] / (own[:, None] + own[None])
        cost[np.tril_indices(len(places))] = np.inf
        first, second = (places[each] for each in np.unravel_index(cost.argmin(), cost.shape))
        total = weights[first] + weights[second]
        middles[first] = (
            weights[first] * middles[first] + weights[second] * middles[second]
        ) / total
        weights[first] = total
        alive[second] = False
        groups[groups == second] = first
    left = np.flatnonzero(alive)
    names = np.empty(len(centroids), np.int64)
    names[left[np.argsort(-weights[left], kind="stable")]] = np.arange(k)
    return names[groups]
