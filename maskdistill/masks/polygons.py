"""Outlines of masks as polygons: lines between pixel centres, thinned by Douglas and Peucker.

Paper:    Lorensen and Cline, SIGGRAPH 1987 (marching squares); Douglas and Peucker, 1973
In:       a mask (H, W) bool
Out:      polygons [x, y, x, y, ...] in px, as COCO keeps them
Differs:  from the release's annotations in ties of the thinning alone, which rounding errors break
          there; by hand, because where an outline begins and how pixels that meet at a corner are
          joined decide the polygon, and both are the release's
"""

from __future__ import annotations

import numpy as np

# (row, col), doubled, so that the middle between two pixels is an integer.
_Point = tuple[int, int]

# Sides of the square between four pixels, as doubled offsets from its upper left pixel.
_TOP, _LEFT, _RIGHT, _BOTTOM = (0, 1), (1, 0), (1, 2), (2, 1)

# The lines through such a square, by which of its pixels are set: 1 upper left, 2 upper right,
# 4 lower left, 8 lower right. All keep the mask on the same hand. Pixels that meet only at a corner
# are apart (6 and 9).
_LINES: dict[int, tuple[tuple[_Point, _Point], ...]] = {
    1: ((_TOP, _LEFT),),
    2: ((_RIGHT, _TOP),),
    3: ((_RIGHT, _LEFT),),
    4: ((_LEFT, _BOTTOM),),
    5: ((_TOP, _BOTTOM),),
    6: ((_RIGHT, _TOP), (_LEFT, _BOTTOM)),
    7: ((_RIGHT, _BOTTOM),),
    8: ((_BOTTOM, _RIGHT),),
    9: ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
    10: ((_BOTTOM, _TOP),),
    11: ((_BOTTOM, _LEFT),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_LEFT, _TOP),),
}


def polygons_from_mask(mask: np.ndarray, *, tolerance_px: float = 2.0) -> list[list[float]]:
    """Return the outlines of a mask as polygons.

    >>> mask = np.zeros((3, 4), bool)
    >>> mask[1, 1:3] = True
    >>> polygons_from_mask(mask, tolerance_px=0.5)
    [[2.0, 1.5, 0.5, 1.0, 2.0, 0.5, 2.0, 1.5]]

    Args:
        mask: (H, W) bool.
        tolerance_px: how far the outline may move, >= 0; 2 in the paper's release.
    Returns:
        [x, y, x, y, ...] for each outline, the first point again as the last. Coordinates lie in
        [0, W - 0.5] and [0, H - 0.5]: half a pixel beyond a pixel's centre, below 0 cut to 0. A
        hole is a polygon of its own, so a union of all fills it. Outlines that shrink to fewer
        than three points (the repeated one counts) are left out: a small mask may give none, as an
        empty one does.
    Raises:
        ValueError: another rank or dtype, or a negative tolerance.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask: wanted (H, W) bool, found {mask.shape} {mask.dtype}")
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px must be >= 0, got {tolerance_px}")
    polygons = []
    for outline in _outlines(mask):
        kept = _thinned(outline, tolerance_px)
        if len(kept) >= 3:
            polygons.append([float(edge) for edge in np.clip(kept, 0, None)[:, ::-1].ravel()])
    return polygons


def _outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return closed lines (points, 2) float64 of (row, col), the first point again as the last.

    Pixel centres are integers.
    """
    padded = np.pad(mask, 1).astype(np.uint8)  # so that no outline ends at the picture's edge
    kinds = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, :-1] + 8 * padded[1:, 1:]
    after: dict[_Point, _Point] = {}
    for row, col in np.argwhere((kinds > 0) & (kinds < 15)).tolist():
        for (r0, c0), (r1, c1) in _LINES[int(kinds[row, col])]:
            after[2 * row + r0, 2 * col + c0] = (2 * row + r1, 2 * col + c1)
    place = {point: number for number, point in enumerate(after)}
    outlines = []
    # Not the first of what is left: a dictionary walks over all that was taken out before.
    for start in list(after):
        if start not in after:
            continue
        line = [start]
        while line[-1] in after:
            line.append(after.pop(line[-1]))
        # The thinning keeps the first point, so where an outline begins changes it: below and
        # right, as in the release.
        first = 1 + int(np.argmax([place[point] for point in line[:-1]]))
        outlines.append(np.array(line[first:] + line[1 : first + 1], np.float64) / 2 - 1)
    return outlines


def _thinned(line: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the points of a line (points, 2) without which it would move by more than `tolerance`.

    Of a tie the first. Stairs are full of ties; the release breaks them by rounding errors, so that
    some corners differ by a step.
    """
    kept = np.zeros(len(line), bool)
    kept[[0, -1]] = True
    spans = [(0, len(line) - 1)]
    while spans:
        start, end = spans.pop()
        distances = _distances(line[start + 1 : end], line[start], line[end])
        if len(distances) and distances.max() > tolerance:
            farthest = start + 1 + int(distances.argmax())
            kept[farthest] = True
            spans += [(start, farthest), (farthest, end)]
    return line[kept]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distances (n,) of points (n, 2) to a piece of a line, which may be one point."""
    along = end - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)
