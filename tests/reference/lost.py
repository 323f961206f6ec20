"""The slow twin of LOST's proposals: the affinity formed whole, loops over patches, float64."""

import numpy as np

from tests.reference.maskdistill import _component


def mask(keys, grid, *, n_candidates=100):
    """(rows, cols) bool, empty where the seed resembles nothing, and the seed; keys (heads, 1 + patches, dim)."""
    n = keys.shape[1] - 1
    joined = np.concatenate([head[1:] for head in keys], axis=1).astype(np.float64)
    products = joined @ joined.T
    degrees = [
        sum(bool(products[one, other] > 0) for other in range(n) if other != one)
        for one in range(n)
    ]
    order = sorted(range(n), key=lambda patch: (degrees[patch], patch))
    seed, total = order[0], np.zeros(n)
    for source in order[:n_candidates]:
        if products[seed, source] > 0:
            total += products[source]
    return _component(total > 0, seed, grid), seed
