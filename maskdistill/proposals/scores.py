"""How far a mask stands out from the rest of its picture, by the keys of its patches."""

from __future__ import annotations

import numpy as np


def contrast(cosines: np.ndarray, inside: np.ndarray) -> float:
    """Half the difference of two means of the cosine with a mask's sources: inside the mask minus outside, in [0, 1].

    Args:
        cosines: (patches,). inside: (patches,) bool.
    Returns:
        0 where nothing is inside or nothing outside.
    """
    if not inside.any() or inside.all():
        return 0.0
    return float(np.clip((cosines[inside].mean() - cosines[~inside].mean()) / 2, 0, 1))


def cosines(products: np.ndarray, lengths: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(patches,) cosines with a direction (width,), from inner products with it and lengths; 0 of a zero length."""
    both = lengths * np.linalg.norm(direction)
    return np.divide(products, both, out=np.zeros(len(products)), where=both > 0)
