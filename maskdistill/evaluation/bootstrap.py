"""Intervals, and the difference of two results, by drawing the pictures anew.

A sample is the weights of the pictures: how often each was drawn. A statistic takes many samples at once, (samples,
pictures) int64, and gives (samples,) values; nan where a sample has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]


def interval(
    statistic: Callable[[np.ndarray], float],
    n_pictures: int,
    *,
    resamples: int,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of a statistic over pictures drawn with replacement; None without pictures or resamples.

    Args:
        statistic: from positions (n_pictures,) int64, with repeats, to a value; nan values are left out.
    """
    if n_pictures == 0 or resamples == 0:
        return None
    rng = np.random.default_rng([seed, n_pictures])
    values = np.array(
        [statistic(rng.integers(0, n_pictures, n_pictures)) for _ in range(resamples)]
    )
    return spread(values, level=level)


def draws(n_pictures: int, *, resamples: int, seed: int = 0) -> np.ndarray:
    """(resamples, n_pictures) int64: how often each picture is drawn, with replacement; the samples of `interval`."""
    rng = np.random.default_rng([seed, n_pictures])
    drawn = (
        [rng.integers(0, n_pictures, n_pictures) for _ in range(resamples)] if n_pictures else []
    )
    found = [np.bincount(each, minlength=n_pictures) for each in drawn]
    return np.array(found, np.int64).reshape(len(found), n_pictures)


def value(statistic: Statistic, n_pictures: int) -> float:
    """Of all pictures, each once."""
    return float(statistic(np.ones((1, n_pictures), np.int64))[0])


def spread(values: np.ndarray, *, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of drawn values; nan ones are left out, None if there are no others."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Paired:
    """Two results on the same pictures.

    Attributes:
        difference: the first less the second; nan where either has no value.
        interval: of the difference, 95 %, pictures drawn for both alike; None where no sample has one.
        p: two-sided: twice the share of samples in which the difference is not on the side where most are, counted
            with one more sample; 1 where all samples are equal. None without samples.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float | None


def paired(first: Statistic, second: Statistic, samples: np.ndarray) -> Paired:
    """The difference of two statistics over the same pictures.

    Args:
        samples: (samples, pictures) of `draws`, whose pictures are in one order for both.
    """
    n_pictures = samples.shape[1]
    difference = value(first, n_pictures) - value(second, n_pictures)
    drawn = first(samples) - second(samples) if len(samples) else np.zeros(0)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Paired(difference, None, None)
    smaller = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Paired(difference, spread(drawn), min(1.0, 2 * (smaller + 1) / (len(drawn) + 1)))
