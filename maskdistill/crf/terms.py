"""One kernel of the CRF: a lattice over the pixels, its normalisation and its weight.

In:       features (pixels, d) of the pixels in the order in which they are worked at
Out:      Term
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdistill.crf import lattice

NORMALIZATIONS = ("symmetric", "before", "after", "none")


@dataclass(frozen=True)
class Term:
    """weight * diag(after) K diag(before), K the lattice's filter.

    Attributes:
        lattice: of the pixels.
        before, after: (pixels,) float32, factors on the way in and out.
        weight: Potts; positive draws equal labels together.
    """

    lattice: lattice.Lattice
    before: np.ndarray
    after: np.ndarray
    weight: float


def build(features: np.ndarray, weight: float, *, normalization: str = "symmetric") -> Term:
    """A term over pixels with these features.

    Args:
        features: (pixels, d) float32 in units of the deviations.
        weight: any finite number.
        normalization: `symmetric` D^-1/2 K D^-1/2, `before` K D^-1, `after` D^-1 K, `none` K; D = diag(K 1).
    """
    built = lattice.build(features)
    ones = np.ones(len(features), np.float32)
    if normalization == "none":
        return Term(built, ones, np.full_like(ones, built.scale), weight)
    sums = filtered(built, ones)
    if normalization == "symmetric":
        root = (1 / np.sqrt(sums + np.float32(1e-20))).astype(np.float32)
        return Term(built, root, root, weight)
    inverse = (1 / (sums + np.float32(1e-20))).astype(np.float32)
    return Term(built, inverse, ones, weight) if normalization == "before" else Term(built, ones, inverse, weight)


def filtered(built: lattice.Lattice, signal: np.ndarray) -> np.ndarray:
    """The lattice's filter of one float32 a pixel, without its factor `scale`."""
    return lattice.apply(built.vertices, built.weights, built.neighbours, built.size, signal)
