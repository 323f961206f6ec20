"""LOST: the patch that is unlike most others, grown over those that resemble it.

Paper:    Simeoni et al., BMVC 2021, arXiv:2109.14279
In:       Features of one picture (keys alone are used)
Out:      Found: masks (at most max_masks, may be empty) and notes
Differs:  ties go to the lowest patch; no mask where the original raises an error; a score;
          rule "sound" and max_masks > 1 are ours
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

# Tied patches whose inner products are held at a time: at 12 000 patches a block of 3 MB.
_ROWS = 64


def discover(
    features: Features,
    *,
    max_masks: int = 1,
    n_candidates: int = 100,
    rule: Literal["paper", "sound"] = "paper",
    stop_score: float = 0.0,
    facet: Facet = "keys",
) -> Found:
    """Return the least connected patch with what resembles it, then others on what is left.

    Args:
        features: keys (heads, 1 + rows*cols, dim) float32, finite; the class token is not used.
        max_masks: at most so many; 1 in the paper. Each further one is looked for on the patches
            that are left, their degrees counted among themselves.
        n_candidates: so many patches of the lowest degree may join the seed patch; k = 100 in the
            paper.
        rule: which of the patches of one degree come first, for the seed patch and for the last
            candidates: `paper` leaves it to a sort that nobody decides, here the lowest; `sound`
            takes those that the others attract least, by the sum of their positive inner products,
            so that a mirrored picture has mirrored masks.
        stop_score: the search ends at a mask that scores less, which is not returned. 0: no end.
        facet: what the patches are compared by.
    Returns:
        Masks in the order of discovery. The score is that of `scores.of_vectors`.
        Notes: STOPPED with the reason where fewer than max_masks were found.
    Raises:
        ValueError: keys missing, of another shape, not finite; a constant out of range.
    Source: the paper's Sec. 3; twin: tests/reference/lost.py, which forms the affinity.
    """
    for name, value in (("max_masks", max_masks), ("n_candidates", n_candidates)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if rule not in ("paper", "sound"):
        raise ValueError(f"rule must be 'paper' or 'sound', got {rule!r}")
    check_limits(stop_score=stop_score)
    keys = affinity.joined(features, facet=facet)
    free = np.ones(len(keys), bool)
    found: list[GridMask] = []
    while len(found) < max_masks:
        indices = np.flatnonzero(free)
        if not len(indices):
            return Found(found, [(Note.STOPPED, "no patches left")])
        left = keys if len(indices) == len(keys) else keys[indices]
        order = _by_degree(left, n_candidates=n_candidates, rule=rule)
        seed, candidates = order[0], order[:n_candidates]
        chosen = indices[candidates]
        sources = chosen[products.times(keys, keys[indices[seed]], chosen) > 0]
        # The sum of the sources' rows of K K' is K times the sum of their keys: no K K' is formed.
        like = (products.times(keys, products.total(keys, sources)) > 0) & free
        seed_patch = divmod(int(indices[seed]), features.grid[1])
        mask = component(like.reshape(features.grid), seed_patch)
        if not mask.any():
            return Found(found, [(Note.STOPPED, "the seed patch resembles nothing")])
        score = scores.of_vectors(keys, mask)
        if score < stop_score:
            return Found(found, [(Note.STOPPED, "mask below stop_score")])
        found.append(GridMask(torch.from_numpy(mask), seed_patch, score))
        free &= ~mask.ravel()
    return Found(found)


def degrees(keys: np.ndarray) -> np.ndarray:
    """Return for each patch how many others have a positive inner product with it.

    Args:
        keys: (patches, width) float32.
    Returns:
        (patches,) int64.

    >>> degrees(np.array([[1, 0], [1, 1], [-1, 0]], np.float32))
    array([1, 1, 0])
    """
    return products.positive_counts(keys) - (affinity.squares(keys) > 0)


def _by_degree(keys: np.ndarray, *, n_candidates: int, rule: str) -> np.ndarray:
    """Return the patches by rising degree, equal ones by the rule.

    With `sound` the first patch and the set of the first `n_candidates` are right, the order within
    other degrees is not: nothing depends on it.
    """
    counts = degrees(keys)
    if rule == "paper":
        return np.argsort(counts, kind="stable")
    last = np.partition(counts, min(n_candidates, len(counts)) - 1)[
        min(n_candidates, len(counts)) - 1
    ]
    # Of other degrees it does not matter which comes first: the candidates are a set.
    tied = np.flatnonzero((counts == counts.min()) | (counts == last))
    attraction = np.zeros(len(counts))
    for first in range(0, len(tied), _ROWS):
        some = tied[first : first + _ROWS]
        attraction[some] = np.maximum(keys[some] @ keys.T, 0).sum(axis=1, dtype=np.float64)
    attraction -= affinity.squares(keys)
    return np.lexsort((attraction, counts))
