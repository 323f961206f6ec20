"""Labels: confident detections of a picture to its label map.

After `detector`, before `segmenter`.

Paper:    MaskDistill, the pseudo-labels of its segmenter; selection and painting as in its release
In:       masks (n, H, W) bool, clusters (n,), scores (n,) of one picture, by falling score
Out:      (H, W) uint8: 0 background, 1 + cluster, 255 ignored
Differs:  overlap `skip` is what the release means, `legacy` what it does, `below` ours; ignoring
          what is unsure is ours (docs/log/segmenter.md)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from maskdistill.types import MOST_IDS

IGNORE = 255


def select(scores: np.ndarray, *, min_score: float = 0.9, keep_best: bool = True) -> np.ndarray:
    """Return the positions of the detections that are painted: the first ones, until one is unsure.

    Args:
        scores: (n,), in file order; ours fall, so that those at or above `min_score` are painted,
            else the best one. A score of nan is below.
        min_score: in [0, 1], the least score of a sure one.
        keep_best: paint the first one even if it is below.
    Returns:
        (m,) int64: 0 .. m - 1; empty without detections.

    >>> select(np.array([0.95, 0.9, 0.4]))
    array([0, 1])
    >>> select(np.array([0.4, 0.3])), select(np.array([0.4, 0.3]), keep_best=False)
    (array([0]), array([], dtype=int64))
    """
    below = np.flatnonzero(~(np.asarray(scores) >= min_score))  # nan is no confidence
    n_confident = int(below[0]) if len(below) else len(scores)
    if n_confident == 0 and len(scores) and keep_best:
        n_confident = 1
    return np.arange(n_confident)


def paint(
    masks: np.ndarray,
    clusters: np.ndarray,
    scores: np.ndarray,
    size: tuple[int, int],
    *,
    overlap: Literal["skip", "below", "legacy"] = "skip",
) -> np.ndarray:
    """Paint masks in their order into a label map; without masks all of it is background.

    Args:
        masks: (n, H, W) bool. clusters: (n,) integers, 0 .. 253.
        scores: (n,), falling; they only have to be as many.
        size: (H, W) of the picture.
        overlap: what becomes of a mask that meets an earlier one. `skip`: it is left out; `below`:
            its free pixels alone are painted; `legacy`: it is left out if an earlier one touches
            pixel row 0 (where the mask has a zero) or row 1 (where it has a one), else it paints
            over: the release, by an accident of integer indexing.
    Returns:
        (H, W) uint8: 0 background, 1 + cluster.
    Raises:
        ValueError: fields of unlike length, a mask of another size, a cluster out of range or no
            integer, another overlap.

    >>> masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
    >>> paint(masks, np.array([3, 0]), np.array([0.9, 0.8]), (1, 3))
    array([[4, 4, 0]], dtype=uint8)
    >>> paint(masks, np.array([3, 0]), np.array([0.9, 0.8]), (1, 3), overlap="below")
    array([[4, 4, 1]], dtype=uint8)
    """
    if overlap not in ("skip", "below", "legacy"):
        raise ValueError(f"overlap: wanted skip, below or legacy, got {overlap!r}")
    if not len(masks) == len(clusters) == len(scores):
        raise ValueError(
            "masks, clusters, scores must have one length: "
            f"{len(masks)}, {len(clusters)}, {len(scores)}"
        )
    if len(masks) and (masks.shape[1:] != tuple(size) or masks.dtype != bool):
        raise ValueError(
            f"masks: wanted (n, {size[0]}, {size[1]}) bool, found {masks.shape} {masks.dtype}"
        )
    if len(clusters) and (np.min(clusters) < 0 or np.max(clusters) >= MOST_IDS):
        raise ValueError(
            f"clusters must be in 0..{MOST_IDS - 1}, found {np.min(clusters)}..{np.max(clusters)}"
        )
    if len(clusters) and not np.issubdtype(np.asarray(clusters).dtype, np.integer):
        raise ValueError(f"clusters: wanted integers, found {np.asarray(clusters).dtype}")
    clusters = np.asarray(clusters).astype(np.int64)  # 1 + 127 does not fit into 8 bits
    label_map = np.zeros(size, np.uint8)
    for number, (mask, cluster) in enumerate(zip(masks, clusters, strict=True)):
        if overlap == "skip":
            refused = label_map[mask].any()
        else:
            refused = overlap == "legacy" and number > 0 and _touches_the_top(label_map, mask)
        if not refused:
            label_map[mask & (label_map == 0) if overlap == "below" else mask] = 1 + cluster
    return label_map


def ignoring(label_map: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return a label map that is ignored where a mask lies and nothing is painted.

    Args:
        label_map: (H, W) uint8. masks: (n, H, W) bool, of detections that are too good for
            background; n may be 0.
    Returns:
        (H, W) uint8: 255 in place of 0 inside the masks.

    >>> ignoring(np.array([[0, 3, 0]], np.uint8), np.array([[[1, 1, 0]]], bool))
    array([[255,   3,   0]], dtype=uint8)
    """
    unsure = masks.any(axis=0) & (label_map == 0)
    return np.where(unsure, IGNORE, label_map).astype(np.uint8)


def _touches_the_top(label_map: np.ndarray, mask: np.ndarray) -> bool:
    """Return whether the release would leave a mask (H, W) bool out of a label map (H, W) uint8.

    It indexes the map by the mask's 0/1 integers, which NumPy takes as row numbers 0 and 1.
    """
    return bool(label_map[0].any() and not mask.all()) or bool(
        len(label_map) > 1 and label_map[1].any() and mask.any()
    )
