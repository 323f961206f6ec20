"""How alike the patches of a picture are: graphs of their keys, or of another facet.

Paper:    TokenCut, Wang et al., CVPR 2022, arXiv:2202.11539 (two values); the Gaussian is ours
In:       keys (patches, width) float32
Out:      a graph as `normalized_cut` takes it
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.proposals.spectral.bits import Bits
from maskdistill.proposals.spectral.graphs import Dense, TwoValued
from maskdistill.types import FACETS, Facet, Features

MAX_PATCHES = 12_000  # a graph of 0.6 GB, twice that while it is made


def joined(
    features: Features, *, facet: Facet = "keys", max_patches: int | None = None
) -> np.ndarray:
    """A facet of the patches, (patches, heads * dim) float32: heads joined in their order, without the class token.

    Args:
        facet: keys, queries, values, or the tokens that leave the block.
    Raises:
        ValueError: the facet missing, of another shape, not finite, of more than `max_patches` patches.
    """
    values = _checked(features, facet, max_patches)
    rows = values[:, 1:].permute(1, 0, 2).flatten(1).float().cpu().numpy()
    # What is not finite shows in the sums of squares, at a tenth of the cost of looking at every value.
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
    """`two_valued` of a facet, made where the features are: of those on a GPU bits alone are fetched.

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
    """The facet (heads, 1 + patches, dim) as it is, wherever it is."""
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
            f"{facet}: a graph of {n_patches} patches does not fit into memory (at most {max_patches}). "
            "Give the picture a smaller short_side."
        )
    return values.detach()


def squares(rows: np.ndarray) -> np.ndarray:
    """(n,) squared lengths of rows (n, width), without a copy of them."""
    return np.einsum("nd,nd->n", rows, rows)


def two_valued(
    keys: np.ndarray, *, threshold: float, floor: float, bfloat16: bool | None = None
) -> TwoValued:
    """Patch graph: 1 where the cosine of two patches' keys exceeds the threshold, else `floor`.

    Args:
        keys: (patches, width) float32. A key of length zero has cosine 0 with all, itself too.
        threshold: cosine, in [-1, 1].
        floor: weight of an absent edge, in (0, 1), so that the graph stays connected.
        bfloat16: products in bfloat16, near the threshold in float32 again; None: where the processor has it.
    """
    lengths = np.sqrt(squares(keys))
    shares = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    unit = keys * shares[:, None]
    return TwoValued(Bits.of_cosines(unit, threshold, bfloat16=bfloat16), floor=floor)


def gaussian(keys: np.ndarray, grid: tuple[int, int], *, bandwidth: float, floor: float) -> Dense:
    """Patch graph: exp(-distance^2 / (2 deviation^2)) + floor of the distance of two patches' keys.

    Args:
        keys: (patches, width) float32, row-major over `grid`.
        grid: (rows, cols).
        bandwidth: the deviation, in medians of the distance between patches beside or below one another. Measured on
            the picture itself, because one deviation for all finds objects in every empty but textured picture.
        floor: added to every edge, above 0.
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
    weights /= -2 * max(
        variance, 1e-12
    )  # 0 where most neighbours are equal: then only equal patches are joined
    np.exp(weights, out=weights)
    weights += np.float32(floor)
    return Dense(weights)
