"""The slow twin of MaskDistill's proposals: loops over heads, patches and neighbours, G formed whole, float64."""

import numpy as np


def mask(queries, keys, grid, *, heads, top_fraction=0.4, mass=0.5, signed=True):
    """(rows, cols) bool and the seed patch's index; queries, keys (heads, 1 + patches, dim)."""
    n = keys.shape[1] - 1
    attention = np.zeros(n)
    for patch in range(n):
        for head in range(heads):
            attention[patch] += float(np.dot(queries[head, 0], keys[head, 1 + patch])) / heads
    counted = attention if signed else np.array([max(0.0, each) for each in attention])
    kept = np.zeros(n)
    running = 0.0
    for patch in sorted(range(n), key=lambda each: (counted[each], each)):
        running += counted[patch] / counted.sum()
        if running > 1 - mass:
            kept[patch] = attention[patch]
    candidates = sorted(range(n), key=lambda each: (-kept[each], each))[
        : max(1, int(top_fraction * n))
    ]
    seed = candidates[0]
    products = np.zeros((n, n))
    for one in range(n):
        for other in range(n):
            products[one, other] = sum(
                float(np.dot(head[1 + one], head[1 + other])) for head in keys
            )
    total = np.zeros(n)
    for source in candidates:
        if products[seed, source] > 0:
            total += products[source]
    return _component(total > 0, seed, grid), seed


def _component(positive, seed, grid):
    rows, cols = grid
    reached, waiting = np.zeros(grid, bool), [divmod(seed, cols)]
    while waiting:
        row, col = waiting.pop()
        if (
            0 <= row < rows
            and 0 <= col < cols
            and positive[row * cols + col]
            and not reached[row, col]
        ):
            reached[row, col] = True
            waiting += [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
    return reached
