"""From a coarse mask to the picture's edges: colours inside against colours around, smoothed along edges.

Paper:    none; guided filter of He, Sun and Tang, PAMI 2013, arXiv:1303.6149 is not needed: plain box sums suffice
In:       picture (H, W, 3) uint8 and a mask (H, W) bool whose boundary is off by up to a patch
Out:      (H, W) bool
Differs:  ours
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

_BINS = 16  # of each colour channel


def refine(
    rgb: np.ndarray,
    mask: np.ndarray,
    *,
    band: float = 0.35,
    rounds: int = 3,
    smooth_px: float = 1.5,
    max_side: int = 320,
) -> np.ndarray:
    """Moves the boundary of a coarse mask to where the colours of the picture change.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool.
        band: how far the boundary may move in and out, as a share of the root of the mask's area.
        rounds: of estimating the colours anew from the moved mask.
        smooth_px: deviation of the smoothing, at the working resolution.
        max_side: px, of the working resolution: a larger box around the mask is worked on reduced.
    """
    if mask.shape != rgb.shape[:2] or mask.dtype != bool or rgb.dtype != np.uint8:
        raise ValueError(f"rgb must be (H, W, 3) uint8 and mask (H, W) bool, got {rgb.shape} {mask.shape}")
    if not mask.any() or mask.all():
        return mask.copy()
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = int(np.ceil(1.5 * band * np.sqrt(mask.sum()))) + 2
    top, left = max(0, rows[0] - margin), max(0, cols[0] - margin)
    box = (slice(top, rows[-1] + margin + 1), slice(left, cols[-1] + margin + 1))
    colours, inside = rgb[box], mask[box]
    size = inside.shape
    scale = max(size) / max_side
    if scale > 1:
        small = (max(1, round(size[1] / scale)), max(1, round(size[0] / scale)))
        colours = np.asarray(Image.fromarray(np.ascontiguousarray(colours)).resize(small, Image.Resampling.BOX))
        inside = np.asarray(Image.fromarray(inside).resize(small, Image.Resampling.NEAREST))
    moved = _moved(colours, inside, band * np.sqrt(inside.sum()), rounds, smooth_px)
    if not moved.any():
        return mask.copy()
    if scale > 1:
        resized = Image.fromarray(moved.astype(np.uint8) * 255).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        moved = np.asarray(resized) > 127
    refined = np.zeros_like(mask)
    refined[box] = moved
    return refined


def _moved(colours, inside, reach, rounds, smooth_px):
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    free = np.abs(distance) <= reach
    core = distance > min(reach, 0.6 * distance.max())
    near = distance > -1.5 * reach
    free &= ~core
    code = (colours // (256 // _BINS)).astype(np.int64)
    code = (code[..., 0] * _BINS + code[..., 1]) * _BINS + code[..., 2]
    prior = np.clip(distance / max(reach, 1), -1, 1)
    current = inside
    for _ in range(rounds):
        weight = np.where(current, np.where(core, 1.0, 0.5), 0)
        ratio = _log_ratio(code, weight, np.where(~current & near, 1.0, 0))
        evidence = ndimage.gaussian_filter(np.clip(ratio, -4, 4), smooth_px) + 0.5 * prior
        current = np.where(free, evidence > 0, core)
    labels, n = ndimage.label(current)
    if n > 1:
        sizes = np.bincount(labels.ravel())[1:]
        current = labels == 1 + np.argmax(sizes)
    return ndimage.binary_fill_holes(current)


def _log_ratio(code, inside, outside):
    n = _BINS**3
    counts = []
    for weight in (inside, outside):
        histogram = np.bincount(code.ravel(), weight.ravel(), minlength=n).reshape((_BINS,) * 3)
        histogram = ndimage.gaussian_filter(histogram, 0.8, truncate=3.0)
        counts.append(histogram.ravel() / max(histogram.sum(), 1e-12) + 1e-4)
    return np.log(counts[0] / counts[1])[code]
