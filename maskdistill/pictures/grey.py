"""Greys of more than 8 bits to 8 bits.

In:       (H, W) integers or floats
Out:      (H, W) uint8, 0 black
"""

from __future__ import annotations

import numpy as np

_WHITES = (1.0, 255.0, 65535.0)  # of floats, of 8 and of 16 bits: what files in use mean by white


def eight_bits(values: np.ndarray, *, bits: int | None) -> np.ndarray:
    """Return greys as 8 bits, 0 black; linear, rounded to the nearest.

    >>> eight_bits(np.array([[0, 2048, 4095]], np.uint16), bits=12).tolist()
    [[0, 128, 255]]
    >>> eight_bits(np.array([[-1.0, 0.5, 1.0]]), bits=None).tolist()
    [[0, 128, 255]]

    Args:
        values: (H, W), unsigned integers if `bits` is given, else any integers or floats.
        bits: of the format's white, 2**bits - 1, at most 16; None where the format names no white
            (32-bit integers, signed ones, floats). White is then the least of 1, 255 and 65535
            that no value exceeds, else the largest value; a negative value and nan are black.
    Returns:
        (H, W) uint8.
    """
    if bits is not None:
        white = 2**bits - 1
        table = np.rint(np.minimum(np.arange(65536), white) * (255 / white)).astype(np.uint8)
        return table[np.clip(values, 0, 65535)]
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=np.inf, neginf=0.0)
    finite = values[np.isfinite(values)]
    largest = finite.max(initial=0.0)
    least = [white for white in _WHITES if largest <= white]
    return np.rint(np.clip(values / (least[0] if least else largest), 0, 1) * 255).astype(np.uint8)
