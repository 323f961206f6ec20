"""Affinity: graphs of how alike the patches of a picture are, by their keys or another facet.

Paper:    TokenCut, Wang et al., CVPR 2022, arXiv:2202.11539 (two values)
In:       Features, or keys (patches, width) float32
Out:      TwoValued or Dense, as `normalized_cut` takes them
Differs:  the Gaussian is ours; a key of length zero is joined to nothing
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.proposals.spectral.bits import Bits
from maskdistill.proposals.spectral.graphs import Dense, TwoValued
from maskdistill.types import FACETS, Facet, Features

# A dense graph of so many has 0.6 GB in float32, and twice that while it is made.
MAX_PATCHES = 12_000


def joined(
    features: Features, *, facet: Facet = "keys", max_patches: int | None = None
) -> np.ndarray:
    """Return a facet of the patches with its heads joined in their order.

    Args:
        facet: keys, queries, values, or the tokens that leave the block.
        max_patches: None: no limit.
    Returns:
        (patches, heads * dim) float32 on the CPU, without the class token.
    Raises:
        ValueError: the facet missing, of another shape, not finite, of more than `max_patches`
            patches.
    """
    values = _checked(features, facet, max_patches)
    rows = values[:, 1:].permute(1, 0, 2).flatten(1).float().cpu().numpy()
    # What is not finite shows in the sums of squares, at a tenth of the cost of looking at every
    # value (docs/log/proposals.md, 2026-11-25: 0.14 against 1.9 ms).
    if not (np.isfinite(squares(rows)).all() and bool(torch.isfinite(values[:, 0]).all())):
        raise ValueError(f"{facet} must be finite")
    return rows


def cosines(
    features: Features,
    *,
    threshold: float,
    floor: float,
    facet: Facet = "keys",
    max_patches: int | None = None,
) -> TwoValued:
    """Return the graph `two_valued` of a facet, made on the device of the features.

    Of features on a GPU the bits of the graph alone are fetched.

    Raises:
        ValueError: as `joined`.
    """
    values = _checked(features, facet, max_patches)
    if values.device.type == "cpu":
        keys = joined(features, facet=facet, max_patches=max_patches)
        return two_valued(keys, threshold=threshold, floor=floor)
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{facet} must be finite")
    with torch.inference_mode():
        unit = functional.normalize(values[:, 1:].permute(1, 0, 2).flatten(1).float(), dim=1)
        return TwoValued(Bits.of_device(unit, threshold), floor=floor)


def _checked(features: Features, facet: Facet, max_patches: int | None) -> Tensor:
    """Return the facet (heads, 1 + patches, dim) as it is, on its device; tokens as of one head.

    Raises:
        ValueError: the facet missing, of another shape, of more than `max_patches` patches.
    """
    n_patches = features.grid[0] * features.grid[1]
    if facet not in FACETS:
        raise ValueError(f"facet must be one of {', '.join(FACETS)}, got {facet!r}")
    values = getattr(features, facet)
    if values is None:
        raise ValueError(f"{facet}: these features hold none")
    if facet == "tokens" and values.ndim == 2:
        values = values[None]  # as of one head
    if values.ndim != 3 or values.shape[1] != 1 + n_patches or n_patches < 1:
        wanted = (
            f"(1 + {n_patches}, width)" if facet == "tokens" else f"(heads, 1 + {n_patches}, dim)"
        )
        raise ValueError(
            f"{facet} must be {wanted} for grid {features.grid}, got {tuple(values.shape)}"
        )
    if max_patches is not None and n_patches > max_patches:
        raise ValueError(
            f"{facet}: a graph of {n_patches} patches does not fit into memory "
            f"(at most {max_patches}). Give the picture a smaller short_side."
        )
    return values.detach()


def squares(rows: np.ndarray) -> np.ndarray:
    """Return the squared lengths (n,) of rows (n, width), without a copy of the rows.

    >>> squares(np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([25.,  1.])
    """
    return np.einsum("nd,nd->n", rows, rows)


def two_valued(
    keys: np.ndarray, *, threshold: float, floor: float, bfloat16: bool | None = None
) -> TwoValued:
    """Return the graph with 1 where two keys' cosine exceeds the threshold, else `floor`.

    Args:
        keys: (patches, width) float32. A key of length zero has cosine 0 with all, itself too.
        threshold: cosine, in [-1, 1].
        floor: weight of an absent edge, in (0, 1), so that the graph stays connected.
        bfloat16: as `Bits.of_cosines` takes it.

    >>> keys = np.array([[1, 0], [2, 0], [0, 1]], np.float32)
    >>> two_valued(keys, threshold=0.2, floor=0.01).dense()
    array([[1.  , 1.  , 0.01],
           [1.  , 1.  , 0.01],
           [0.01, 0.01, 1.  ]])
    """
    lengths = np.sqrt(squares(keys))
    shares = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    unit = keys * shares[:, None]
    return TwoValued(Bits.of_cosines(unit, threshold, bfloat16=bfloat16), floor=floor)


def gaussian(keys: np.ndarray, grid: tuple[int, int], *, bandwidth: float, floor: float) -> Dense:
    """Return the graph with exp(-distance^2 / (2 deviation^2)) + floor of two patches' keys.

    Args:
        keys: (patches, width) float32, row-major over `grid`.
        grid: (rows, cols).
        bandwidth: the deviation, in medians of the distance between patches beside or below one
            another. It is measured on the picture itself, because one deviation for all finds
            objects in every empty but textured picture.
        floor: added to every edge, above 0.

    >>> keys = np.array([[0.0], [1.0], [2.0]], np.float32)
    >>> gaussian(keys, (1, 3), bandwidth=1.0, floor=1e-5).dense().round(2)
    array([[1.  , 0.61, 0.14],
           [0.61, 1.  , 0.61],
           [0.14, 0.61, 1.  ]])
    """
    lengths = (keys**2).sum(axis=1)
    weights = keys @ keys.T
    weights *= -2
    weights += lengths[:, None]
    weights += lengths[None]
    np.maximum(weights, 0, out=weights)
    placed = keys.reshape(*grid, -1)
    steps = [(np.diff(placed, axis=axis) ** 2).sum(axis=2).ravel() for axis in (0, 1)]
    distances = np.concatenate(steps)
    variance = float(np.median(distances)) * bandwidth**2 if len(distances) else 0.0
    # The variance is 0 where most neighbours are equal: then only equal patches are joined.
    weights /= -2 * max(variance, 1e-12)
    np.exp(weights, out=weights)
    weights += np.float32(floor)
    return Dense(weights)
