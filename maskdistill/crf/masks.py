"""One mask drawn to its picture's edges by a dense CRF, as MaskCut does it; holes are filled, strays are dropped.

Paper:    CutLER, Wang et al., CVPR 2023, arXiv:2301.11320, Sec. 3.1 and its release's settings
In:       a picture and a mask
Out:      a mask, empty where the CRF would move it too far
Differs:  pictures keep their shape; works at no more than 480 px, the size that CutLER squeezes pictures to
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from maskdistill.crf.mean_field import MASKCUT, Accuracy, Setting, dense_crf
from maskdistill.masks.resize import reduced, resized, within

_SURE = float(
    1 / (1 + np.exp(-1))
)  # softmax of (1 - m, m) of a mask m: 0.73 for the side that a pixel is on


def refined_mask(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    setting: Setting = MASKCUT,
    accuracy: Accuracy = "lattice",
    min_overlap: float = 0.5,
    max_side: int = 480,
) -> np.ndarray:
    """The mask after mean field of two classes, its holes filled.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) bool.
        min_overlap: IoU with the mask before, below which nothing is left of it: the CRF found something else.
        max_side: px; a larger picture is worked on reduced to it, so that deviations in px mean one share of all.
    Returns:
        (H, W) bool, empty where nothing is left. An empty mask and a full one come back as they are.
    Raises:
        ValueError: another shape or type, min_overlap outside [0, 1], max_side below 1.
    """
    if (
        image.shape != (*mask.shape, 3)
        or mask.ndim != 2
        or mask.dtype != bool
        or image.dtype != np.uint8
    ):
        raise ValueError(
            f"image must be (H, W, 3) uint8 and mask (H, W) bool, got {image.shape} {image.dtype}, "
            f"{mask.shape} {mask.dtype}"
        )
    if not 0 <= min_overlap <= 1 or max_side < 1:
        raise ValueError(
            f"min_overlap must be in [0, 1] and max_side at least 1, got {min_overlap}, {max_side}"
        )
    if mask.all() or not mask.any():
        return mask.copy()
    height, width = mask.shape
    small = within((height, width), max_side)
    is_reduced = small != (height, width)
    colours, inside = image, mask
    if is_reduced:
        colours, inside = reduced(image, small), resized(mask, small)
    sure = np.where(inside, np.float32(_SURE), np.float32(1 - _SURE))
    found = dense_crf(colours, np.stack([1 - sure, sure]), accuracy=accuracy, **setting)
    moved = np.asarray(ndimage.binary_fill_holes(found[1] > found[0]))
    union = (moved | inside).sum()
    if not union or (moved & inside).sum() < min_overlap * union:
        return np.zeros_like(mask)
    return resized(moved, (height, width)) if is_reduced else moved
