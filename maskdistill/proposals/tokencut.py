"""TokenCut: a graph of patches cut in two; the side with the strongest patch is the object.

Paper:    Wang et al., CVPR 2022, arXiv:2202.11539
In:       Features of one picture (keys alone are used)
Out:      Found: masks (at most max_masks, may be empty) and notes
Differs:  nothing at the paper's settings; max_masks > 1, rule "sound", the Gaussian affinity,
          stops and scores are ours
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from maskdistill.proposals import scores
from maskdistill.proposals.grid import component
from maskdistill.proposals.object_test import check_limits, is_object
from maskdistill.proposals.spectral.affinity import MAX_PATCHES, cosines, gaussian, joined
from maskdistill.proposals.spectral.graphs import Dense, TwoValued
from maskdistill.proposals.spectral.normalized_cut import second_eigenvector, strongest
from maskdistill.types import Facet, Features, Found, GridMask, Note, Notes

# Largest eigenvalue of a cut: 2 is the largest there is; below 0.3 handcrafted features lose true
# masks with the false ones (docs/log/proposals.md, 2026-11-25, the stop).
_MAX_CUT = {"threshold": 2.0, "gaussian": 0.3}


def discover(
    features: Features,
    *,
    max_masks: int = 1,
    affinity: Literal["threshold", "gaussian"] = "threshold",
    threshold: float = 0.2,
    floor: float = 1e-5,
    bandwidth: float = 0.8,
    max_cut: float | None = None,
    rule: Literal["paper", "sound"] = "paper",
    stop_score: float = 0.0,
    facet: Facet = "keys",
    min_area: int = 6,
    max_area: float = 0.5,
    max_border: float = 0.5,
) -> Found:
    """Return the object that a normalised cut parts from the rest, then others on what is left.

    The paper is the default: one mask, whatever it is. With the rule `sound`, with a Gaussian
    affinity, and from the second mask on, a mask is judged: one that is too small, too large, or
    holds too much of the picture's border is taken out of the graph but not returned, and the
    search goes on, for at most three cuts a mask.

    Args:
        features: keys (heads, 1 + rows*cols, dim) float32, finite; the class token is not used.
        max_masks: at most so many; 1 in the paper.
        affinity: `threshold`, the paper's, weighs an edge 1 or `floor`; `gaussian` by the distance
            of two keys.
        threshold: cosine above which two patches are joined, in [-1, 1].
        floor: weight of an absent edge, in (0, 1); added to every edge of the Gaussian.
        bandwidth: deviation of the Gaussian, in medians of the distance between adjacent patches'
            keys: what differs by less than neighbours do is one thing. Above 0; 0.8 is the best of
            five on drawn pictures (docs/log/proposals.md, 2026-11-30).
        max_cut: the search ends at a cut of a larger eigenvalue, which says that what is left does
            not fall into parts. None: 0.3 with `gaussian`, no end with `threshold`.
        rule: `paper` returns the first mask of `threshold` whatever it is; `sound` judges it like
            the others.
        stop_score: the search ends at a mask that passes but scores less, which is not returned.
            0: no end.
        facet: what the patches are compared by.
        min_area: patches that a judged mask must have; 6 as measured there.
        max_area: share of all patches that a judged mask may have.
        max_border: share of the border patches that a judged mask may hold.
    Returns:
        Masks in the order of discovery. The score is that of `scores.of_graph`.
        Notes: PRODUCTS of all cuts; FALLBACK where the dense solver made a cut; STOPPED with the
        reason where fewer than max_masks were found; CUT where a cut ended the search.
    Raises:
        ValueError: keys missing, of another shape, not finite, of too many patches; a constant out
            of range.
    Source: the paper's method; repeated cuts as in CutLER's idea of several objects, without its
        rules.
    """
    _check(max_masks, affinity, threshold, floor, bandwidth, max_cut, rule)
    check_limits(stop_score=stop_score, min_area=min_area, max_area=max_area, max_border=max_border)
    n_patches = features.grid[0] * features.grid[1]
    graph: Dense | TwoValued
    if affinity == "threshold":
        graph = cosines(
            features, facet=facet, threshold=threshold, floor=floor, max_patches=MAX_PATCHES
        )
    else:
        keys = joined(features, facet=facet, max_patches=MAX_PATCHES)
        graph = gaussian(keys, features.grid, bandwidth=bandwidth, floor=floor)
    limit = _MAX_CUT[affinity] if max_cut is None else max_cut
    free = np.ones(n_patches, bool)
    found: list[GridMask] = []
    products = fallbacks = 0
    stopped: Notes = [(Note.STOPPED, "no more cuts")]
    for _ in range(3 * max_masks):
        indices = np.flatnonzero(free)
        if len(indices) < 2:
            stopped = [
                (Note.STOPPED, "no patches left" if n_patches > 1 else "one patch cannot be cut")
            ]
            break
        cut = second_eigenvector(graph if free.all() else graph.restrict(indices))
        products, fallbacks = products + cut.products, fallbacks + cut.fallback
        if cut.value > limit:
            stopped = [
                (Note.STOPPED, "what is left does not fall into parts"),
                (Note.CUT, cut.value),
            ]
            break
        part = np.zeros(n_patches, bool)
        part[indices] = cut.vector > cut.vector.mean()
        seed_patch = divmod(int(indices[strongest(cut.vector)]), features.grid[1])
        mask = component(part.reshape(features.grid), seed_patch)
        if not mask.any():  # all values equal: nothing stands out
            stopped = [(Note.STOPPED, "no patch stands out")]
            break
        free &= ~mask.ravel()
        judged = rule == "sound" or affinity == "gaussian" or bool(found)
        if not judged or is_object(
            mask, min_area=min_area, max_area=max_area, max_border=max_border
        ):
            score = scores.of_graph(graph, mask)
            if score < stop_score:
                stopped = [(Note.STOPPED, "mask below stop_score")]
                break
            found.append(GridMask(torch.from_numpy(mask), seed_patch, score))
            if len(found) == max_masks:
                stopped = []
                break
    notes: Notes = [(Note.PRODUCTS, products)]
    if fallbacks:
        notes.append((Note.FALLBACK, fallbacks))
    return Found(found, notes + stopped)


def _check(
    max_masks: int,
    affinity: str,
    threshold: float,
    floor: float,
    bandwidth: float,
    max_cut: float | None,
    rule: str,
) -> None:
    """Raise ValueError where a constant is out of range."""
    if max_masks < 1:
        raise ValueError(f"max_masks must be at least 1, got {max_masks}")
    if affinity not in _MAX_CUT:
        raise ValueError(f"affinity must be 'threshold' or 'gaussian', got {affinity!r}")
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold must be in [-1, 1], got {threshold}")
    if not 0 < floor < 1:
        raise ValueError(f"floor must be in (0, 1), got {floor}")
    if not bandwidth > 0:
        raise ValueError(f"bandwidth must be above 0, got {bandwidth}")
    if max_cut is not None and not max_cut >= 0:
        raise ValueError(f"max_cut must not be negative, got {max_cut}")
    if rule not in ("paper", "sound"):
        raise ValueError(f"rule must be 'paper' or 'sound', got {rule!r}")
