"""Grid: the connected component of a patch, and a mask of patches as a mask of pixels.

Paper:    MaskDistill, Van Gansbeke et al., arXiv:2206.06363; enlarged as its release does it
In:       (rows, cols) bool
Out:      (rows, cols) bool, or (H, W) bool of the picture
Differs:  nothing with `nearest`; `bilinear` is ours: contours between patch centres, no stairs
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage


def component(mask: np.ndarray, seed_patch: tuple[int, int]) -> np.ndarray:
    """Return the part of a mask that is 4-connected with one patch.

    Args:
        mask: (rows, cols) bool.
        seed_patch: (row, col), inside the grid.
    Returns:
        (rows, cols) bool; empty where the seed patch is not in the mask.

    >>> mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    >>> component(mask, (1, 1)).astype(int)  # (0, 0) touches it at a corner alone
    array([[0, 0, 1],
           [0, 1, 1]])
    """
    labels, _ = ndimage.label(mask)
    label = labels[seed_patch]
    return labels == label if label else np.zeros_like(mask)


def to_pixels(
    mask: np.ndarray,
    *,
    patch: int,
    content: tuple[int, int],
    size: tuple[int, int],
    how: Literal["nearest", "bilinear"] = "nearest",
) -> np.ndarray:
    """Return a mask of patches as a mask of the picture's pixels.

    Args:
        mask: (rows, cols) bool.
        patch: side of a patch, in px of the picture as the backbone saw it.
        content: (height, width) of that picture without its padding right and below; at most
            (rows, cols) * patch.
        size: (height, width) of the picture.
        how: `nearest` enlarges by the patch, cuts to `content`, resizes as 8 bits with PIL's
            bicubic, and takes any value above zero, as the paper's release does (masks grow a
            little); `bilinear` interpolates between the patch centres and takes what exceeds one
            half.
    Returns:
        (height, width) bool. An empty mask stays empty.
    Raises:
        ValueError: mask not two-dimensional bool, content outside the grid, unknown `how`.

    >>> to_pixels(np.array([[True, False]]), patch=2, content=(2, 3), size=(2, 3)).astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask must be (rows, cols) bool, got {mask.shape} {mask.dtype}")
    covered = (mask.shape[0] * patch, mask.shape[1] * patch)
    if not all(0 < inside <= whole for inside, whole in zip(content, covered, strict=True)):
        raise ValueError(f"content {content} must lie inside the grid's pixels {covered}")
    if how == "nearest":
        enlarged = mask.repeat(patch, axis=0).repeat(patch, axis=1)[: content[0], : content[1]]
        image = Image.fromarray(enlarged.astype(np.uint8) * 255)
        return np.asarray(image.resize((size[1], size[0]))) > 0
    if how != "bilinear":
        raise ValueError(f"how must be 'nearest' or 'bilinear', got {how!r}")
    pixels = np.zeros(size, bool)
    rows, row_weights = _interpolation(
        np.asarray(mask.any(axis=1)), patch=patch, content=content[0], size=size[0]
    )
    cols, col_weights = _interpolation(
        np.asarray(mask.any(axis=0)), patch=patch, content=content[1], size=size[1]
    )
    pixels[rows, cols] = row_weights @ mask.astype(np.float32) @ col_weights.T > 0.5
    return pixels


def _interpolation(
    occupied: np.ndarray, *, patch: int, content: int, size: int
) -> tuple[slice, np.ndarray]:
    """Return the bilinear weights of one axis, for the pixels that an occupied patch can reach.

    Args:
        occupied: (patches,) bool: the row or column of patches holds any of the mask.
        patch: side of a patch, in px of the picture as the backbone saw it.
        content: px of that picture along the axis, without padding.
        size: px of the picture along the axis.
    Returns:
        Those pixels as a slice, and weights (pixels, patches) float32.
    """
    # In patches, 0 the centre of the first.
    place = ((np.arange(size) + 0.5) * content / size) / patch - 0.5
    place = np.clip(place, 0, len(occupied) - 1)
    patches = np.flatnonzero(occupied)
    if not len(patches):
        return slice(0, 0), np.zeros((0, len(occupied)), np.float32)
    near = np.flatnonzero((place > patches[0] - 1) & (place < patches[-1] + 1))
    if not len(near):
        return slice(0, 0), np.zeros((0, len(occupied)), np.float32)
    near_pixels = slice(int(near[0]), int(near[-1]) + 1)
    distances = np.abs(place[near_pixels, None] - np.arange(len(occupied))[None])
    return near_pixels, np.maximum(0, 1 - distances).astype(np.float32)
