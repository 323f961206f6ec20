"""Pixels: a coarse mask moved to the picture's edges, by colours inside and around it.

Paper:    none; a histogram likelihood ratio in the manner of GrabCut (Rother et al., 2004) without
          its graph cut
In:       picture (H, W, 3) uint8 and a mask (H, W) bool whose outline is off by up to a patch
Out:      (H, W) bool
Differs:  ours
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from maskdistill.masks.boxes import slices
from maskdistill.masks.resize import reduced, resized, within

# How much each moves AP50 on drawn pictures stands in docs/log/proposals.md, 2026-11-30.
_BINS = 8  # of each of the three colours
_UNSEEN = 1e-3  # share given to every bin, so that a colour seen once decides nothing
_CLIP = 2.5  # of the logarithm of the ratio: one pixel cannot outvote its neighbours
_HOLE = 0.05  # of the mask's area: smaller holes are texture and are filled


def refine(
    rgb: np.ndarray,
    mask: np.ndarray,
    *,
    band: float = 0.35,
    rounds: int = 3,
    smooth_px: float = 1.0,
    max_side: int = 320,
) -> np.ndarray:
    """Return the mask with its outline moved to where the picture's colours change.

    Colours are counted inside the mask and in a ring around it; pixels near the outline go to the
    side whose colours they share, with some preference for the side where they were; colours are
    then counted anew.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool.
        band: reach of the outline in or out, as a share of the root of the mask's area.
        rounds: of counting colours.
        smooth_px: deviation over which pixels' votes are averaged, at the working resolution.
        max_side: px, at least 8; a larger box around the mask is worked on reduced to this.
    Returns:
        (H, W) bool: one 4-connected part, small holes filled. An empty mask, a full one, and one of
        which nothing would be left come back as they were.
    Raises:
        ValueError: another shape or type; band, rounds, smooth_px not above 0; max_side below 8.
    """
    if (
        rgb.shape != (*mask.shape, 3)
        or mask.ndim != 2
        or mask.dtype != bool
        or rgb.dtype != np.uint8
    ):
        raise ValueError(
            f"rgb must be (H, W, 3) uint8 and mask (H, W) bool, "
            f"got {rgb.shape} {rgb.dtype}, {mask.shape} {mask.dtype}"
        )
    if not (band > 0 and rounds > 0 and smooth_px > 0 and max_side >= 8):
        raise ValueError(
            "band, rounds, smooth_px must be above 0 and max_side at least 8, "
            f"got {band}, {rounds}, {smooth_px}, {max_side}"
        )
    tight = slices(mask)
    if tight is None:
        return mask.copy()
    rows, cols = tight
    reach = band * np.sqrt(np.count_nonzero(mask[tight]))
    margin = int(np.ceil(1.5 * reach)) + 2
    box = (
        slice(max(0, rows.start - margin), rows.stop + margin),
        slice(max(0, cols.start - margin), cols.stop + margin),
    )
    colours, inside = rgb[box], mask[box]
    height, width = inside.shape
    scale = max(1.0, max(height, width) / max_side)
    if scale > 1:
        small = within((height, width), max_side)
        colours, inside = reduced(colours, small), resized(inside, small)
    if inside.all() or not inside.any():
        return mask.copy()
    moved = _moved(colours, inside, reach=reach / scale, rounds=rounds, smooth_px=smooth_px)
    if not moved.any():
        return mask.copy()
    refined = np.zeros_like(mask)
    refined[box] = resized(moved, (height, width)) if scale > 1 else moved
    return refined


def _moved(
    colours: np.ndarray, inside: np.ndarray, *, reach: float, rounds: int, smooth_px: float
) -> np.ndarray:
    """Return the mask `inside` with its outline moved by at most `reach` px, at this resolution."""
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    core = depth > min(reach, 0.8 * depth.max())  # of a thin mask too, something is certain
    free = (np.abs(depth) <= reach) & ~core
    around = depth > -1.5 * reach
    preference = 0.5 * np.clip(depth / max(reach, 1.0), -1, 1)
    binned = (colours // (256 // _BINS)).astype(np.int64)
    codes = (binned[..., 0] * _BINS + binned[..., 1]) * _BINS + binned[..., 2]
    current = inside
    for _ in range(rounds):
        certainty = np.where(core, 1.0, 0.5) * current
        ratio = np.log(
            _frequencies(codes, certainty) / _frequencies(codes, (~current & around).astype(float))
        )
        votes = ndimage.gaussian_filter(np.clip(ratio, -_CLIP, _CLIP)[codes], smooth_px)
        current = np.where(free, votes + preference > 0, core)
    return _without_small_holes(_largest_part(current))


def _frequencies(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of each colour, (bins^3,), blurred over like colours, never 0."""
    counts = np.bincount(codes.ravel(), weights.ravel(), minlength=_BINS**3).reshape((_BINS,) * 3)
    counts = ndimage.gaussian_filter(counts, 0.8, truncate=3.0).ravel()
    return counts / max(counts.sum(), 1e-12) + _UNSEEN


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected part of a mask."""
    labels, n_parts = ndimage.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if n_parts > 1 else mask


def _without_small_holes(mask: np.ndarray) -> np.ndarray:
    """Return the mask with its holes filled that are small beside it."""
    labels, n_holes = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    areas = np.bincount(labels.ravel(), minlength=n_holes + 1)
    small = areas < _HOLE * np.count_nonzero(mask)
    small[0] = False
    return mask | small[labels]
