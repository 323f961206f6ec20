"""Greys of more than 8 bits to 8 bits."""

from __future__ import annotations

import numpy as np

_WHITES = (1.0, 255.0, 65535.0)


def eight_bits(values: np.ndarray, *, bits: int | None) -> np.ndarray:
    """(H, W) uint8, 0 black; linear, rounded to the nearest.

    Args:
        values: (H, W), unsigned integers if `bits` is given, else any integers or floats.
        bits: of the format's white, 2**bits - 1, at most 16; None where the format names no white (32-bit integers,
            signed ones, floats). White is then the least of 1, 255 and 65535 that no value exceeds, else the largest
            value; what is negative or not a number is black.
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
