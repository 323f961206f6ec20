"""Intervals of a number, and the difference of two results, by drawing the pictures anew.

In:   statistics over pictures; a sample is how often each picture was drawn
Out:  values, percentile intervals that hold the value, p of a difference
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Many samples at once: (samples, pictures) int64 -> (samples,) float64, nan where a sample has no
# value.
Statistic = Callable[[np.ndarray], np.ndarray]


def draws(n_pictures: int, *, resamples: int, seed: int = 0) -> np.ndarray:
    """Return (resamples, n_pictures) int64: how often each picture is drawn, with replacement."""
    rng = np.random.default_rng([seed, n_pictures])
    drawn = (
        [rng.integers(0, n_pictures, n_pictures) for _ in range(resamples)] if n_pictures else []
    )
    found = [np.bincount(each, minlength=n_pictures) for each in drawn]
    return np.array(found, np.int64).reshape(len(found), n_pictures)


def value(statistic: Statistic, n_pictures: int) -> float:
    """Return the value of a statistic over all pictures, each once; nan where it has none."""
    return float(statistic(np.ones((1, n_pictures), np.int64))[0])


def spread(values: np.ndarray, *, around: float, level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval of drawn values, widened where it leaves out the number.

    Of few pictures, or of a mean over classes of which samples lack some, most samples may lie on
    one side of the number itself.

    Args:
        values: (samples,) drawn values; those that are nan are left out.
        around: the number that the interval is of, over all pictures, each once; nan: not widened.
        level: share of the values between the edges, before it is widened.
    Returns:
        (low, high) with low <= around <= high; None where no value is left.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    # fmin and fmax: nan widens nothing.
    return float(np.fmin(low, around)), float(np.fmax(high, around))


def ratio(part: np.ndarray, whole: np.ndarray) -> Statistic:
    """Return the sum of one number over the sum of another, each (pictures,); nan where that is 0.

    >>> hits, counted = np.array([1, 0, 1]), np.array([1, 1, 0])
    >>> value(ratio(hits * counted, counted), 3)
    0.5
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)

    def statistic(samples: np.ndarray) -> np.ndarray:
        above, below = samples @ part, samples @ whole
        return np.divide(above, below, out=np.full(len(samples), np.nan), where=below > 0)

    return statistic


def mean_of_ratios(parts: np.ndarray, wholes: np.ndarray) -> Statistic:
    """Return the mean over classes of ratios of sums, each (pictures, classes).

    A class whose sum of `wholes` is 0 in a sample is left out of its mean.
    """

    def statistic(samples: np.ndarray) -> np.ndarray:
        above, below = samples @ parts, samples @ wholes
        held = below > 0
        each = np.divide(above, below, out=np.zeros(above.shape), where=held)
        n = held.sum(axis=1)
        return np.divide(each.sum(axis=1), n, out=np.full(len(samples), np.nan), where=n > 0)

    return statistic


@dataclass(frozen=True)
class Paired:
    """The difference of two results on the same pictures.

    Attributes:
        difference: the first less the second; nan where either has no value.
        interval: of the difference, which it holds, 95 %, pictures drawn for both alike; None where
            no sample has one.
        p: two-sided: twice the share of samples in which the difference is not on the side where
            most are, counted with one more sample; 1 where all samples are equal. None without
            samples.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float | None


def paired(first: Statistic, second: Statistic, samples: np.ndarray) -> Paired:
    """Return the difference of two statistics over the same pictures.

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
    p = min(1.0, 2 * (smaller + 1) / (len(drawn) + 1))
    return Paired(difference, spread(drawn, around=difference), p)
