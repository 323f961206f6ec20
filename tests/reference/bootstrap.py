"""Percentile intervals from their definition, one sample after the other."""

import numpy as np


def interval(statistic, n_pictures, *, resamples, seed=0, level=0.95):
    """Interval of a statistic of positions (n_pictures,), with repeats; nan values are left out."""
    if n_pictures == 0 or resamples == 0:
        return None
    rng = np.random.default_rng([seed, n_pictures])
    drawn = [statistic(rng.integers(0, n_pictures, n_pictures)) for _ in range(resamples)]
    values = [value for value in drawn if not np.isnan(value)]
    if not values:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
