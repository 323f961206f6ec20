"""Positions: where a patch lies, taken out of what it is described by.

Paper:    INSID3, Cuttano et al., CVPR 2026, arXiv:2603.28480; its release visinf/INSID3,
          models/insid3.py (_build_positional_basis, _debias_features)
In:       features of a blank picture, then of any picture, by the same block of the same backbone
Out:      Features whose patches have no part in the directions in which blank patches differ
Differs:  lengths stay, theirs are made 1 (cosines are the same); directions of rounding are left
          out; theirs match pictures by it and part one picture by the features as they are
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.types import Facet, Features

# Of the largest singular value, below which float32 features hold rounding alone.
_ROUNDING = 1e-5


def directions(blank: Features, *, facet: Facet, most: int) -> Tensor:
    """Return the directions in which the patches of a blank picture differ most, the first first.

    The patches show the same everywhere: in what they differ is where they lie.

    Args:
        blank: features of a picture of one colour.
        facet: of the features; heads are joined.
        most: directions at most; fewer where the patches differ in fewer.
    Returns:
        (width, directions) float32, columns of length 1 and orthogonal, on the device of the facet.
    Raises:
        ValueError: the facet missing or not finite, `most` below 1 or not below the width.
    """
    rows = _joined(blank, facet).double()
    if not 1 <= most < rows.shape[1]:
        raise ValueError(f"most must be in 1 .. {rows.shape[1] - 1}, below the width, got {most}")
    if not bool(torch.isfinite(rows).all()):
        raise ValueError(f"{facet} must be finite")
    rows = functional.normalize(rows, dim=1)
    rows = rows - rows.mean(dim=0)
    _, strengths, found = torch.linalg.svd(rows, full_matrices=False)
    n_real = int((strengths > _ROUNDING * max(float(strengths[0]), 1.0)).sum())
    return found[: min(most, n_real)].T.float().contiguous()


def without(features: Features, found: Tensor, *, facet: Facet) -> Features:
    """Return features whose patches have no part along some directions, in one facet.

    The class token and the other facets stay as they are.

    Args:
        features: with the facet (heads, 1 + patches, dim), or tokens (1 + patches, width).
        found: (width, directions), orthonormal columns, as `directions` returns them.
        facet: that patches are compared by.
    Raises:
        ValueError: the facet missing, or of another width.
    """
    rows = _joined(features, facet)
    if len(found) != rows.shape[1]:
        raise ValueError(f"{facet}: {rows.shape[1]} wide, but the directions are {len(found)}")
    found = found.to(rows)
    rows = rows - (rows @ found) @ found.T
    values = getattr(features, facet).clone()
    if values.ndim == 2:
        values[1:] = rows
    else:
        heads, _, dim = values.shape
        values[:, 1:] = rows.unflatten(1, (heads, dim)).permute(1, 0, 2)
    return replace(features, **{facet: values})


def _joined(features: Features, facet: Facet) -> Tensor:
    """Return a facet of the patches (patches, heads * dim), without the class token.

    Raises:
        ValueError: the facet is missing.
    """
    values: Tensor | None = getattr(features, facet)
    if values is None:
        raise ValueError(f"{facet}: these features hold none")
    return values[1:] if values.ndim == 2 else values[:, 1:].permute(1, 0, 2).flatten(1)
