"""One-to-one matching by trying every one."""

from itertools import permutations

import numpy as np


def best_total(weights):
    """The largest sum of weights (clusters, classes) that a one-to-one matching reaches."""
    weights = np.asarray(weights, np.float64)
    if weights.shape[0] > weights.shape[1]:
        weights = weights.T
    rows, columns = weights.shape
    return max(
        sum(weights[row, column] for row, column in enumerate(order))
        for order in permutations(range(columns), rows)
    )


def ious(counts):
    counts = np.asarray(counts, np.float64)
    found = np.zeros(counts.shape)
    for cluster in range(counts.shape[0]):
        for which in range(counts.shape[1]):
            union = counts[cluster].sum() + counts[:, which].sum() - counts[cluster, which]
            found[cluster, which] = counts[cluster, which] / union if union else 0.0
    return found
