"""What is done to embeddings before k-means: each dimension by its deviation, each row to length 1.

Paper:    MaskDistill: scipy's `whiten` (no centring), L2 rows
In:       (n, d) float32
Out:      a scale (d,) of the set; rows (n, d)
Differs:  nothing
"""

from __future__ import annotations

import numpy as np


def scale_of(embeddings: np.ndarray, *, whiten: bool = True) -> np.ndarray:
    """(d,) float32: the deviation of each dimension (no centring, ddof 0), 1 where it is constant."""
    if not whiten:
        return np.ones(embeddings.shape[1], np.float32)
    varies = (embeddings != embeddings[:1]).any(axis=0)
    # Float32 sums give a thousand equal values of 0.3 a deviation of 6e-8: divided by it they would outweigh all else.
    deviation = np.where(varies, embeddings.std(axis=0), 0)
    return np.where(deviation > 0, deviation, 1).astype(np.float32)


def normalise(embeddings: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Each dimension divided by its scale, each row by its length; a row of zeros stays one."""
    return unit(embeddings / scale)


def finite(rows: np.ndarray) -> np.ndarray:
    """The same rows, but zeros where one is not finite."""
    return np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
