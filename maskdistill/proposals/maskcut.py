"""MaskCut: one normalised cut after the other, what was found painted out before the next.

Paper:    CutLER, Wang et al., CVPR 2023, arXiv:2301.11320
In:       Features of one picture (keys alone are used)
Out:      Found: masks (at most max_masks, may be empty) and notes
Differs:  the side of a cut does not depend on the sign of its vector; grids need not be square;
          a score; rule `sound`
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from maskdistill.proposals import scores
from maskdistill.proposals.grid import component
from maskdistill.proposals.object_test import check_limits, is_object
from maskdistill.proposals.spectral.affinity import MAX_PATCHES, cosines, joined
from maskdistill.proposals.spectral.normalized_cut import (
    EQUAL,
    Cut,
    second_eigenvector,
    strongest,
)
from maskdistill.types import Facet, Features, Found, GridMask, Note, Notes


def discover(
    features: Features,
    *,
    max_masks: int = 3,
    threshold: float = 0.15,
    floor: float = 1e-5,
    min_share: float = 0.01,
    max_overlap: float = 0.5,
    rule: Literal["paper", "sound"] = "paper",
    stop_score: float = 0.0,
    facet: Facet = "keys",
    max_area: float = 0.5,
    max_border: float = 0.5,
) -> Found:
    """Return the objects that normalised cuts part from the rest, one cut after the other.

    Args:
        features: keys (heads, 1 + rows*cols, dim) float32, finite; the class token is not used.
        max_masks: at most so many; 3 in the paper.
        threshold: cosine above which two patches are joined, in [-1, 1]; 0.15 in the published run.
        floor: weight of an absent edge, in (0, 1).
        min_share: of the patches, in [0, 1); from the second cut on a mask with no more is
            rejected.
        max_overlap: IoU with the mask of the cut before, in [0, 1], above which a mask is rejected.
        rule: `paper`: a cut sees the whole grid, in which painted patches keep edges of weight
            `floor`, also to themselves, so that they may come back; a rejected mask paints nothing,
            so that the next cut repeats it, and, compared with nothing, passes. `sound`: a cut sees
            only the patches that are left, a rejected mask is painted out too and not returned, for
            at most three cuts a mask, the first is judged like the others, and what is too large or
            holds too much of the picture's border is rejected.
        stop_score: the search ends at a mask that is not rejected but scores less, which is not
            returned. 0: no end.
        facet: what the patches are compared by.
        max_area: `sound`: share of all patches that a mask may have.
        max_border: `sound`: share of the patches at the border that a mask may hold.
    Returns:
        Masks in the order of discovery, each without the patches of earlier ones, empty ones left
        out. The score is that of `scores.of_vectors`.
        Notes: REJECTED cuts; FALLBACK where the dense solver made a cut; STOPPED with the reason
        where fewer than max_masks were found.
    Raises:
        ValueError: keys missing, of another shape, not finite, of too many patches; a constant out
            of range.
    Source: CutLER, Sec. 3.1; what its release does stands in docs/reproduce.md.
    """
    _check(max_masks, threshold, floor, min_share, max_overlap, rule)
    check_limits(stop_score=stop_score, max_area=max_area, max_border=max_border)
    keys = joined(features, facet=facet, max_patches=MAX_PATCHES)
    if len(keys) < 2:
        return Found([], [(Note.STOPPED, "one patch cannot be cut")])
    whole = cosines(features, facet=facet, threshold=threshold, floor=floor)
    painted = np.zeros(len(keys), bool)
    previous = np.zeros(features.grid, bool)
    found: list[GridMask] = []
    rejected = fallbacks = 0
    stopped: Notes = []
    n_cuts = max_masks if rule == "paper" else 3 * max_masks
    for number in range(n_cuts):
        indices = np.arange(len(keys)) if rule == "paper" else np.flatnonzero(~painted)
        if len(indices) < 2:
            stopped = [(Note.STOPPED, "no patches left")]
            break
        cut = second_eigenvector(
            whole.stripped(painted) if rule == "paper" else whole.restrict(indices)
        )
        fallbacks += cut.fallback
        raw, seed_patch = _foreground(cut, indices, features.grid)
        if not raw.any():  # all values equal: nothing stands out
            stopped = [(Note.STOPPED, "no patch stands out")]
            break
        judged = number > 0 or rule == "sound"
        refused = judged and (raw.mean() <= min_share or _iou(raw, previous) > max_overlap)
        if rule == "sound":
            refused |= not is_object(raw, min_area=1, max_area=max_area, max_border=max_border)
        rejected += bool(refused)  # NumPy's own would make a number that JSON does not know
        mask = raw & ~painted.reshape(features.grid)
        if not refused and mask.any():
            # Not of this graph, whose threshold is not TokenCut's: a score means the same for all.
            score = scores.of_vectors(keys, mask)
            if score < stop_score:
                stopped = [(Note.STOPPED, "mask below stop_score")]
                break
            found.append(GridMask(torch.from_numpy(mask), seed_patch, score))
            if len(found) == max_masks:
                break
        previous = np.zeros_like(raw) if refused else raw
        if not refused or rule == "sound":
            painted |= raw.ravel()
    notes: Notes = [(Note.REJECTED, rejected)] if rejected else []
    if fallbacks:
        notes.append((Note.FALLBACK, fallbacks))
    if len(found) < max_masks and not stopped:
        stopped = [(Note.STOPPED, "no more cuts")]
    return Found(found, notes + stopped)


def _foreground(
    cut: Cut, indices: np.ndarray, grid: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the seed patch's component of a cut's foreground, and the seed patch.

    Foreground is the side with the strongest patch, unless it holds three of the four corners: then
    the other. The vector's own sign is arbitrary; `second_eigenvector` gives that with the
    strongest patch positive.

    Args:
        indices: patches of the grid that the cut's entries belong to.
        grid: (rows, cols).
    Returns:
        (rows, cols) bool, and (row, col).
    """
    part = np.zeros(grid[0] * grid[1], bool)
    part[indices] = cut.vector > cut.vector.mean()
    corners = part.reshape(grid)[[0, 0, -1, -1], [0, -1, 0, -1]]
    if corners.sum() >= 3:
        part[indices] = ~part[indices]
        seed = int(indices[_first_largest(-cut.vector)])
    else:
        seed = int(indices[strongest(cut.vector)])
    seed_patch = divmod(seed, grid[1])
    return component(part.reshape(grid), seed_patch), seed_patch


def _first_largest(values: np.ndarray) -> int:
    """Return the first of the entries that are the largest but for rounding."""
    spread = np.abs(values).max()
    return int(np.argmax(values >= values.max() - EQUAL * spread))


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two masks; 0 where both are empty."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def _check(
    max_masks: int, threshold: float, floor: float, min_share: float, max_overlap: float, rule: str
) -> None:
    """Raise ValueError where a constant is out of range."""
    if max_masks < 1:
        raise ValueError(f"max_masks must be at least 1, got {max_masks}")
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold must be in [-1, 1], got {threshold}")
    if not 0 < floor < 1:
        raise ValueError(f"floor must be in (0, 1), got {floor}")
    if not 0 <= min_share < 1:
        raise ValueError(f"min_share must be in [0, 1), got {min_share}")
    if not 0 <= max_overlap <= 1:
        raise ValueError(f"max_overlap must be in [0, 1], got {max_overlap}")
    if rule not in ("paper", "sound"):
        raise ValueError(f"rule must be 'paper' or 'sound', got {rule!r}")
