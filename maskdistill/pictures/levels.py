"""Levels: samples of any number of bits to 8, at their full range or stretched by percentiles.

In:       (H, W, bands) integers or floats as they are stored
Out:      (H, W, bands) uint8, 0 black; the black and white that a stretch takes
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Limits = tuple[tuple[float, float], ...]  # (black, white) of all bands, or of each one

FULL, STRETCH, STRETCH_ALL = "full", "stretch", "stretch_all"
FEW = 64  # of the 256 grey levels: fewer, and most of what the picture holds is not to be seen
# Left out at each end, so that a hot pixel is no blackout; percentiles 0.1 and 99.9. Microscopy
# takes more (csbdeep's `normalize`, which StarDist uses: 3 and 99.8), but a small object may be all
# that is bright.
_CUT = 1 / 1000
_FEWEST = 100  # values from which one at each end is left out at least
_WHITES = (1.0, 255.0, 65535.0)  # of floats, of 8 and of 16 bits: what files in use mean by white


def eight_bits(values: np.ndarray, *, bits: int | None) -> np.ndarray:
    """Return samples as 8 bits at their full range, 0 black; linear, rounded to the nearest.

    >>> eight_bits(np.array([[0, 2048, 4095]], np.uint16), bits=12).tolist()
    [[0, 128, 255]]
    >>> eight_bits(np.array([[-1.0, 0.5, 1.0]]), bits=None).tolist()
    [[0, 128, 255]]

    Args:
        values: of any shape, unsigned integers if `bits` is given, else any integers or floats.
        bits: of the format's white, 2**bits - 1, at most 16; None where the format names no white
            (32-bit integers, signed ones, floats). White is then the least of 1, 255 and 65535
            that no value exceeds but some hot ones, a thousandth of all (of fewer than 100 values
            none); else the largest value, where that is twice the largest of the others at most.
            A negative value and nan are black.
    Returns:
        uint8 of the shape of `values`.
    """
    if bits is not None:
        white = 2**bits - 1
        if values.dtype == np.uint8 and bits == 8:
            return values
        table = np.rint(np.minimum(np.arange(65536), white) * (255 / white)).astype(np.uint8)
        return table[np.clip(values, 0, 65535)]
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    values = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=0.0)
    if not finite.size:
        return np.where(values > 0, 255, 0).astype(np.uint8)
    largest, usual = float(finite.max()), _from_above(finite, _n_cut(finite.size))
    least = [white for white in _WHITES if usual <= white]
    white = least[0] if least else largest if largest <= 2 * usual else usual
    return np.rint(np.clip(values / white, 0, 1) * 255).astype(np.uint8)


def limits_of(values: np.ndarray, *, each_band: bool = False) -> Limits:
    """Return the values that a stretch shows as black and as white.

    Between them lies all but a thousandth at each end (of 100 values and more one at least). Where
    these are equal, the least and the largest value are taken; of no finite value (0, 0).

    >>> limits_of(np.array([7.0, 9.0, 8.0, np.nan]))
    ((7.0, 9.0),)

    Args:
        values: (..., bands) integers or floats; what is not finite does not count.
        each_band: of each band by itself; else of all together.
    """
    bands = np.moveaxis(values, -1, 0) if each_band else [values]
    return tuple(_limits(np.asarray(band).ravel()) for band in bands)


def stretched(values: np.ndarray, limits: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return samples as 8 bits between two values: linear, the fraction cut off.

    So do scripts that stretch to 8 bits (`astype` cuts off): masks are those of a picture that was
    stretched before (docs/log/pictures.md, 2026-11-30).

    >>> stretched(np.array([[[90], [100], [110], [120], [130]]]), [(100, 120)])[0, :, 0].tolist()
    [0, 0, 127, 255, 255]

    Args:
        values: (H, W, bands); nan is black.
        limits: (black, white) of all bands, or of each; where they are equal, all is black.
    Returns:
        (H, W, bands) uint8.
    Raises:
        ValueError: limits of another number of bands.
    """
    if len(limits) not in (1, values.shape[-1]):
        raise ValueError(f"limits: wanted 1 or {values.shape[-1]}, got {len(limits)}")
    black, white = np.array(limits, np.float64).T
    width = np.where(white > black, white - black, np.inf)
    made = np.empty(values.shape, np.uint8)
    # By rows: in float64 a large picture is eight times the bytes of one in 8 bits.
    step = max(1, 2**22 // max(1, values[0].size)) if len(values) else 1
    for start in range(0, len(values), step):
        part = np.asarray(values[start : start + step], np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            part = np.clip((part - black) / width * 255, 0, 255)
        made[start : start + step] = np.nan_to_num(part, nan=0.0).astype(np.uint8)
    return made


def _limits(values: np.ndarray) -> tuple[float, float]:
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    n_cut = _n_cut(values.size)
    if values.dtype == np.uint16 and values.size > 65536:
        counts = np.cumsum(np.bincount(values, minlength=65536))
        low = float(np.searchsorted(counts, n_cut, side="right"))
        high = float(np.searchsorted(counts, values.size - n_cut))
    else:
        order = np.partition(values, sorted({n_cut, values.size - 1 - n_cut}))
        low, high = float(order[n_cut]), float(order[values.size - 1 - n_cut])
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def _n_cut(n_values: int) -> int:
    """Return how many values are left out at an end."""
    return math.ceil(n_values * _CUT) if n_values >= _FEWEST else 0


def _from_above(values: np.ndarray, n_larger: int) -> float:
    """Return the value that so many others of a flat array exceed or equal."""
    at = values.size - 1 - n_larger
    return float(np.partition(values, at)[at])
