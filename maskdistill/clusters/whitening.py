"""Whitening: embeddings made alike over the set before k-means, each row brought to length 1.

Paper:    MaskDistill: scipy's `whiten` (deviation of each dimension, no centring), L2 rows
In:       (n, d) float32
Out:      a scale (d,) or a projection (d, 1 + m) of the set; rows (n, d) or (n, m)
Differs:  principal components are another choice; of more rows than a chunk holds sums are float64
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from maskdistill.clusters import chunks

FLAT = 1e-6  # of the largest variance: a component with less is rounding


@dataclass(frozen=True)
class Whitening:
    """Hold the space in which k-means works: a scale or a projection.

    Attributes:
        scale: (d,) float32, as `scale_of` gives it.
        projection: (d, 1 + m) float32, as `principal` gives it.
    """

    scale: np.ndarray | None = None
    projection: np.ndarray | None = None

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Return rows (n, d) whitened and brought to length 1, (n, d) or (n, m).

        Raises:
            ValueError: neither a scale nor a projection.
        """
        if self.projection is not None:
            return projected(embeddings, self.projection)
        if self.scale is None:
            raise ValueError("scale: wanted one, or a projection, found neither")
        return normalise(embeddings, self.scale)


def scale_of(embeddings: chunks.Rows, *, whiten: bool = True) -> np.ndarray:
    """Return the deviation of each dimension, (d,) float32, 1 where it is constant.

    Args:
        embeddings: (n, d), one row at least; not centred.
        whiten: no: ones.
    """
    width = embeddings.shape[1]
    if not whiten:
        return np.ones(width, np.float32)
    first = embeddings[:1]
    varies = np.zeros(width, bool)
    for part in chunks.pieces(embeddings):
        varies |= (embeddings[part] != first).any(axis=0)
    spread = (
        embeddings[:].std(axis=0)
        if chunks.is_one(embeddings)
        else np.sqrt(chunks.variance(embeddings))
    )
    # Float32 sums give a thousand equal values of 0.3 a deviation of 6e-8: divided by it they would
    # outweigh all else.
    deviation = np.where(varies, spread, 0)
    return np.where(deviation > 0, deviation, 1).astype(np.float32)


def principal(embeddings: chunks.Rows, *, dims: int) -> np.ndarray:
    """Return the mean and the principal components of rows, scaled to variance 1.

    Args:
        embeddings: (n, d), one row at least.
        dims: components at most, those of the largest variance; those of hardly any are left out.
    Returns:
        (d, 1 + m) float32, 1 <= m <= dims: column 0 the mean, then the components; of equal rows
        one, the first dimension.
    Raises:
        ValueError: dims below 1.
    """
    if dims < 1:
        raise ValueError(f"dims must be at least 1, got {dims}")
    if chunks.is_one(embeddings):
        middle = embeddings[:].mean(axis=0, dtype=np.float64)
    else:
        middle = chunks.mean(embeddings)
    products = np.zeros((len(middle), len(middle)))
    with threadpool_limits(1):
        for part in chunks.pieces(embeddings):
            away = embeddings[part] - middle
            products += away.T @ away
        variances, directions = np.linalg.eigh(products / len(embeddings))
    kept = [
        place
        for place in range(len(variances))[::-1][:dims]
        if variances[place] > FLAT * max(variances[-1], FLAT)
    ]
    if not kept:
        return np.column_stack([middle, np.eye(len(middle), 1)]).astype(np.float32)
    turned = directions[:, kept]
    # A direction's sign is the solver's: the entry of the largest size is positive.
    turned = turned * np.sign(turned[np.abs(turned).argmax(axis=0), np.arange(len(kept))])
    return np.column_stack([middle, turned / np.sqrt(variances[kept])]).astype(np.float32)


def projected(embeddings: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Return rows (n, m) of length 1, by what `principal` gives; the mean itself gives zeros."""
    return unit((embeddings - projection[:, 0]) @ projection[:, 1:])


def normalise(embeddings: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Divide each dimension by its scale (d,), each row by its length; a row of zeros stays one."""
    return unit(embeddings / scale)


def finite(rows: np.ndarray) -> np.ndarray:
    """Return the same rows (n, d), but zeros where one is not finite."""
    return np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Divide each row (n, d) by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
