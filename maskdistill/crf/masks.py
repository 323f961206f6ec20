"""One mask drawn to its picture's edges by a dense CRF, as MaskCut does it.

Paper:    CutLER, Wang et al., CVPR 2023, arXiv:2301.11320, Sec. 3.1 and its release's settings
In:       a picture (H, W, 3) uint8 and a mask (H, W) bool
Out:      a mask without holes, empty where the CRF would move it too far
Differs:  pictures keep their shape; the CRF sees no more than 480 px, the size that CutLER
          squeezes pictures to
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from maskdistill.crf.mean_field import MASKCUT, dense_crf
from maskdistill.masks.resize import reduced, resized, within

_MOST_PX = 480  # of the longer side: the deviations are in pixels of CutLER's squares
_LEAST_IOU = 0.5  # with the mask before, below which the CRF found something else; source: CutLER
# The softmax of (1 - m, m) of a mask m: 0.73 for the side that a pixel is on.
_SURE = float(1 / (1 + np.exp(-1)))


def refined_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a mask after mean field of two classes with MaskCut's setting, its holes filled.

    Args:
        image: (H, W, 3) uint8; seen by the CRF with its longer side at most 480 px, so that
            deviations in px mean one share of all pictures.
        mask: (H, W) bool.
    Returns:
        (H, W) bool; empty where its IoU with the mask before is below 0.5. An empty mask and a
        full one come back as they are, copied.
    Raises:
        ValueError: another shape or type.
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
    if mask.all() or not mask.any():
        return mask.copy()
    height, width = mask.shape
    small = within((height, width), _MOST_PX)
    is_reduced = small != (height, width)
    colours, inside = image, mask
    if is_reduced:
        colours, inside = reduced(image, small), resized(mask, small)
    sure = np.where(inside, np.float32(_SURE), np.float32(1 - _SURE))
    found = dense_crf(colours, np.stack([1 - sure, sure]), **MASKCUT)
    moved = np.asarray(ndimage.binary_fill_holes(found[1] > found[0]))
    union = (moved | inside).sum()
    if not union or (moved & inside).sum() < _LEAST_IOU * union:
        return np.zeros_like(mask)
    return resized(moved, (height, width)) if is_reduced else moved
