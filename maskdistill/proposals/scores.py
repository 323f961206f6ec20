"""How far a mask stands out from the rest of its picture, by the keys of its patches."""

from __future__ import annotations

import numpy as np


def contrast(keys: np.ndarray, inside: np.ndarray, direction: np.ndarray) -> float:
    """Half the difference of two means of the cosine with a direction: inside the mask minus outside, in [0, 1].

    Args:
        keys: (patches, width). inside: (patches,) bool. direction: (width,), the sum of the sources' keys.
    Returns:
        0 where nothing is inside or nothing outside.
    """
    if not inside.any() or inside.all():
        return 0.0
    lengths = np.linalg.norm(keys, axis=1) * np.linalg.norm(direction)
    cosines = np.divide(keys @ direction, lengths, out=np.zeros(len(keys)), where=lengths > 0)
    return float(np.clip((cosines[inside].mean() - cosines[~inside].mean()) / 2, 0, 1))
