"""Noise: masks far from their centroid, clusters at the border, over most pictures, or unsure.

Paper:    none: the paper trains on all masks
In:       distances, ids, boxes, areas, scores of masks
Out:      flags; nothing is taken away here
Differs:  ours
"""

from __future__ import annotations

import numpy as np


def far(distances: np.ndarray, ids: np.ndarray, *, factor: float) -> np.ndarray:
    """Return which masks are much farther from their centroid than the median of their cluster.

    Args:
        distances: (n,) to the nearest centroid, at least 0. ids: (n,) the cluster of each.
        factor: of the median, above which a mask is flagged, above 1; 0: none is flagged.
    Returns:
        (n,) bool.
    """
    found = np.zeros(len(ids), bool)
    if not factor:
        return found
    for cluster in np.unique(ids):
        own = ids == cluster
        found[own] = distances[own] > factor * np.median(distances[own])
    return found


def sides_touched(boxes_xyxy: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the share of the picture's four sides that each box touches.

    Args:
        boxes_xyxy: (n, 4), half-open. sizes: (n, 2), (height, width) of each mask's picture.
    Returns:
        (n,) float64 in [0, 1], quarters.
    """
    x1, y1, x2, y2 = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4).T
    height, width = np.asarray(sizes).reshape(-1, 2).T
    return ((x1 <= 0).astype(float) + (y1 <= 0) + (x2 >= width) + (y2 >= height)) / 4


def like_background(
    ids: np.ndarray,
    *,
    k: int,
    sides: np.ndarray,
    areas: np.ndarray,
    scores: np.ndarray,
    max_sides: float = 1.0,
    max_area: float = 1.0,
    min_score: float = 0.0,
) -> list[list[str]]:
    """Return why each cluster looks like ground.

    Args:
        ids: (n,) the cluster of each mask. k: clusters.
        sides: (n,), as `sides_touched` gives them. areas: (n,) as shares of the picture.
        scores: (n,), all in [0, 1].
        max_sides, max_area, min_score: of the median of a cluster's masks; at 1, 1 and 0 nothing is
            flagged.
    Returns:
        A list a cluster, of `border`, `area`, `score`; [] for one that does not look so, or is
        empty.
    """
    found: list[list[str]] = []
    for cluster in range(k):
        own = ids == cluster
        why = []
        if own.any():
            why += ["border"] if np.median(sides[own]) > max_sides else []
            why += ["area"] if np.median(areas[own]) > max_area else []
            why += ["score"] if np.median(scores[own]) < min_score else []
        found.append(why)
    return found
