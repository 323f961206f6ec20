"""Outlines of label maps moved to the picture's edges, each connected part of a class for itself.

In:       a label map (H, W) uint8, its picture, a function that refines one mask
Out:      (H, W) uint8
Differs:  ours, for networks whose map is coarser than the picture; the paper has a dense CRF here
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

# Of the picture: a smaller part has too few pixels to tell its colours from those around it; 65 px
# of the demo's pictures (docs/log/training.md, "Outlines").
MIN_SHARE = 1 / 512


def refined(
    label_map: np.ndarray, rgb: np.ndarray, refine: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the same label map with each part's outline moved by `refine`.

    Args:
        label_map: (H, W) uint8, 0 background. rgb: (H, W, 3) uint8.
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool.
    Returns:
        (H, W) uint8: refined parts painted by falling area, so that a smaller one stays visible on
        a larger one; parts below MIN_SHARE of the picture are left out, and what no part covers is
        background.
    """
    # Area, cluster, mask as bits: of a large picture there may be many.
    parts: list[tuple[int, int, np.ndarray]] = []
    for cluster in np.unique(label_map[label_map > 0]):
        labels, n_parts = ndimage.label(label_map == cluster)
        for part in range(1, n_parts + 1):
            mask = labels == part
            if np.count_nonzero(mask) >= MIN_SHARE * mask.size:
                better = refine(rgb, mask)
                parts.append((int(np.count_nonzero(better)), int(cluster), np.packbits(better)))
    painted = np.zeros_like(label_map)
    for _, cluster, bits in sorted(parts, key=lambda part: -part[0]):
        painted[np.unpackbits(bits, count=label_map.size).reshape(label_map.shape).astype(bool)] = (
            cluster
        )
    return painted
