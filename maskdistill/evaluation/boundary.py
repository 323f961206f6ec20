"""Boundary IoU: the IoU of two masks near their outlines alone, where large masks differ.

Paper:    Cheng et al., CVPR 2021, arXiv:2103.16562: the band inside each mask, 2 % of the diagonal wide
In:       masks (H, W) bool, or label maps (H, W) uint8
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from maskdistill.masks.boxes import slices

SHARE = 0.02  # of the picture's diagonal


def width_px(size: tuple[int, int], *, share: float = SHARE) -> int:
    """Width of the band for a picture of (height, width), at least 1."""
    return max(1, round(share * float(np.hypot(*size))))


def band(mask: np.ndarray, *, width: int) -> np.ndarray:
    """(H, W) bool: pixels of a mask that are at most `width` steps (to any of 8 neighbours) from a pixel outside it.

    What lies beyond the picture's border is outside.
    """
    found = np.zeros(mask.shape, bool)
    if box := slices(mask):
        inside = mask[box]
        # Erosion by a square of 2 width + 1: two one-dimensional minima, whatever the width.
        kept = ndimage.minimum_filter(
            inside.astype(np.uint8), size=2 * width + 1, mode="constant", cval=0
        )
        found[box] = inside & (kept == 0)
    return found


def iou(mask: np.ndarray, other: np.ndarray, *, width: int | None = None) -> float:
    """IoU of the bands of two masks (H, W) bool; 0 where either is empty, nan where both are.

    Raises:
        ValueError: unlike shapes.
    """
    if mask.shape != other.shape:
        raise ValueError(f"mask {mask.shape} and other {other.shape} must have one shape")
    width = width_px(mask.shape) if width is None else width
    one, two = band(mask, width=width), band(other, width=width)
    union = int((one | two).sum())
    return float((one & two).sum() / union) if union else float("nan")


def counts(
    prediction: np.ndarray, truth: np.ndarray, classes: int, *, ignore: int = 255
) -> np.ndarray:
    """(2, classes) int64: common and all pixels of each class's two bands in one picture; summed, IoU = first / second.

    Args:
        prediction, truth: (H, W), classes named alike; pixels whose truth is `ignore` are in no class and not counted,
            so where a void strip lies around objects, the band of the truth begins inside it.
    Raises:
        ValueError: unlike shapes.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction {prediction.shape} and truth {truth.shape} must have one shape"
        )
    width, valid = width_px(truth.shape), truth != ignore
    found = np.zeros((2, classes), np.int64)
    present = np.union1d(np.unique(prediction), np.unique(truth))
    for which in present[(present >= 0) & (present < classes) & (present != ignore)]:
        one = band(prediction == which, width=width) & valid
        two = band(truth == which, width=width)
        found[:, which] = (one & two).sum(), (one | two).sum()
    return found
