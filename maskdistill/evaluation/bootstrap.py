"""Intervals by drawing the pictures anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def interval(
    statistic: Callable[[np.ndarray], float], n_pictures: int, *, resamples: int, seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile interval of a statistic over pictures drawn with replacement; None without pictures or resamples.

    Args:
        statistic: from positions (n_pictures,) int64, with repeats, to a value; nan values are left out.
    """
    if n_pictures == 0 or resamples == 0:
        return None
    rng = np.random.default_rng([seed, n_pictures])
    values = np.array([statistic(rng.integers(0, n_pictures, n_pictures)) for _ in range(resamples)])
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
