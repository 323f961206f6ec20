"""Pixels of each number of a label map: what is void, and which classes occur.

In:       numbers (H, W) uint8
Out:      counts (256,) int64
"""

from __future__ import annotations

import numpy as np

from maskdistill.numba_jit import compiled


def pixels_of_each(numbers: np.ndarray) -> np.ndarray:
    """Return how many pixels have each number, (256,) int64, of numbers (H, W) uint8.

    Label maps are areas: eight pixels at a time are mostly the eight before. numpy's bincount takes
    longer than decoding the file (docs/log/datasets.md, 2026-11-30).
    """
    flat = np.ascontiguousarray(numbers).ravel()
    whole = len(flat) // 8 * 8
    counts = np.bincount(flat[whole:], minlength=256)
    _count(flat[:whole].view(np.uint64), counts)
    return counts


@compiled()
def _count(words: np.ndarray, counts: np.ndarray) -> None:
    """Add eight numbers a word to counts (256,) int64; words (n,) uint64."""
    last, times = np.uint64(0), 0
    for word in words:
        if word == last:
            times += 1
            continue
        for shift in range(0, 64, 8):
            counts[(last >> np.uint64(shift)) & np.uint64(255)] += times
        last, times = word, 1
    for shift in range(0, 64, 8):
        counts[(last >> np.uint64(shift)) & np.uint64(255)] += times
