"""MaskDistill: the patches that the class token attends to, grown over those with like keys.

Paper:    Van Gansbeke, Vandenhende, Van Gool, arXiv:2206.06363, Sec. 3.1, and what its release does
In:       Features of one picture (queries of the class token, keys)
Out:      Found: masks (at most max_masks, may be empty) and notes
Differs:  ties go to the lowest patch; a score; mass_rule "positive" and max_masks > 1 are ours
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from maskdistill.proposals import scores
from maskdistill.proposals.grid import component
from maskdistill.proposals.object_test import check_limits
from maskdistill.proposals.spectral import affinity, products
from maskdistill.types import Facet, Features, Found, GridMask, Note


def discover(
    features: Features,
    *,
    max_masks: int = 1,
    top_fraction: float = 0.4,
    mass: float = 0.5,
    mass_rule: Literal["signed", "positive"] = "signed",
    heads: int | None = None,
    stop_score: float = 0.0,
    facet: Facet = "keys",
) -> Found:
    """Return the object that the class token attends to, then others on the patches left.

    Args:
        features: queries and keys (heads, 1 + rows*cols, dim) float32, finite. Without a class
            token (has_class False) token 0, the mean of the patches, stands in for it.
        max_masks: at most so many; 1 in the paper. Each further one is looked for on the patches
            that are left.
        top_fraction: of the patches that are left, the share that are candidates; in (0, 1].
        mass: share of the attention that is kept, in (0, 1].
        mass_rule: `signed` divides by the signed sum, as the release does: where it is negative all
            but the most negative patches are kept, and these, set to 0, outrank the others.
            `positive` counts the positive attention alone.
        heads: how many of the first heads are averaged for the attention; None: all but the last
            (of one: that one). The inner products of patches always use all heads.
        stop_score: the search ends at a mask that scores less, which is not returned. 0: no end.
        facet: what the patches are compared by; the attention is that of queries and keys, always.
    Returns:
        Masks in the order of discovery. The score is that of `scores.of_vectors`.
        Notes: STOPPED with the reason where fewer than max_masks were found.
    Raises:
        ValueError: queries or keys missing, of another shape, not finite; a constant out of range.
    Source: Sec. 3.1 and the release; twin: tests/reference/maskdistill.py.
    """
    _check(max_masks, top_fraction, mass, mass_rule)
    check_limits(stop_score=stop_score)
    queries = _class_queries(features)
    averaged = max(1, len(queries) - 1) if heads is None else heads
    if not 1 <= averaged <= len(queries):
        raise ValueError(f"heads must be in 1..{len(queries)}, got {heads}")
    keys = affinity.joined(features)
    attended = np.zeros(keys.shape[1])  # of the heads that are averaged, the class token's query
    attended[: averaged * queries.shape[1]] = queries[:averaged].ravel() / averaged
    attention = products.times(keys, attended)
    values = keys if facet == "keys" else affinity.joined(features, facet=facet)
    free = np.ones(len(values), bool)
    found: list[GridMask] = []
    while len(found) < max_masks:
        indices = np.flatnonzero(free)
        if not len(indices):
            return Found(found, [(Note.STOPPED, "no patches left")])
        weights = _kept_mass(attention[indices], mass=mass, rule=mass_rule)
        n_candidates = max(1, int(top_fraction * len(indices)))
        candidates = indices[np.argsort(-weights, kind="stable")[:n_candidates]]
        like = ((products.times(values, _direction(values, candidates)) > 0) & free).reshape(
            features.grid
        )
        seed_patch = divmod(int(candidates[0]), features.grid[1])
        mask = component(like, seed_patch)
        score = scores.of_vectors(values, mask)
        if not mask[seed_patch]:
            if found:
                return Found(found, [(Note.STOPPED, "the seed patch resembles nothing")])
            # A key of length zero. The release takes component number 0, everything outside: kept.
            mask, score = ~like, 0.0
        if score < stop_score:
            return Found(found, [(Note.STOPPED, "mask below stop_score")])
        found.append(GridMask(mask=torch.from_numpy(mask), seed_patch=seed_patch, score=score))
        free &= ~mask.ravel()
    return Found(found)


def _kept_mass(attention: np.ndarray, *, mass: float, rule: str) -> np.ndarray:
    """Return the attention (patches,) where its upper `mass` lies, 0 elsewhere."""
    counted = attention if rule == "signed" else np.maximum(attention, 0)
    order = np.argsort(counted, kind="stable")
    total = counted.sum()
    if total == 0:  # the release divides by it and keeps none
        return np.zeros_like(attention)
    kept = np.zeros(len(attention), bool)
    kept[order] = np.cumsum(counted[order] / total) > 1 - mass
    return np.where(kept, attention, 0)


def _direction(values: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the sum of the sources' keys, (width,) float64.

    Sources are the candidates with a positive inner product with the first, the seed patch. The
    paper sums their rows of G = K K'. That sum is K times this vector: G is never formed.
    """
    sources = candidates[products.times(values, values[candidates[0]], candidates) > 0]
    return products.total(values, sources)


def _class_queries(features: Features) -> np.ndarray:
    """Return the class token's queries (heads, dim), float64 on the CPU, checked with the keys.

    Raises:
        ValueError: queries or keys missing, of another shape; queries not finite.
    """
    queries, keys = features.queries, features.keys
    if queries is None or keys is None:
        raise ValueError(f"{'queries' if queries is None else 'keys'}: these features hold none")
    n_patches = features.grid[0] * features.grid[1]
    if queries.ndim != 3 or queries.shape[1] != 1 + n_patches or n_patches < 1:
        raise ValueError(
            f"queries must be (heads, 1 + {n_patches}, dim) for grid {features.grid}, "
            f"got {tuple(queries.shape)}"
        )
    if queries.shape != keys.shape:
        raise ValueError(
            f"queries {tuple(queries.shape)} and keys {tuple(keys.shape)} must have one shape"
        )
    if not bool(torch.isfinite(queries[:, 0]).all()):
        raise ValueError("queries must be finite")
    return queries[:, 0].detach().cpu().double().numpy()


def _check(max_masks: int, top_fraction: float, mass: float, mass_rule: str) -> None:
    """Raise ValueError where a constant is out of range."""
    if max_masks < 1:
        raise ValueError(f"max_masks must be at least 1, got {max_masks}")
    for name, value in (("top_fraction", top_fraction), ("mass", mass)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}")
    if mass_rule not in ("signed", "positive"):
        raise ValueError(f"mass_rule must be 'signed' or 'positive', got {mass_rule!r}")
