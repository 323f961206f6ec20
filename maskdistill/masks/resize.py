"""Resizing: masks and pictures at another size, and the size that fits a bound.

In:       a mask (H, W) bool or a picture (H, W, 3) uint8, and (rows, columns) in px
Out:      the same at that size
Differs:  masks are averaged by triangles, pictures by boxes: of 610 objects of photographs (up to
          640 px) reduced to 512 px and back, triangles keep an IoU of 0.960, boxes 0.946, which
          also make them 3 % larger (docs/log/masks.md, 2026-11-30)
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def within(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """Return the size of a picture reduced in proportion until its longer side fits a bound.

    >>> within((375, 500), 320)
    (240, 320)
    >>> within((375, 500), 1024)
    (375, 500)

    Args:
        size: (rows, columns) in px.
        max_side: px, at least 1; None: no bound.
    Returns:
        (rows, columns) in px, each at least 1; `size` itself where it fits already.
    """
    scale = 1.0 if max_side is None else max(size) / max_side
    return (max(1, round(size[0] / scale)), max(1, round(size[1] / scale))) if scale > 1 else size


def resized(mask: np.ndarray, size: tuple[int, int], *, keep: bool = False) -> np.ndarray:
    """Return a mask at another size: True where half or more of what is averaged is.

    >>> mask = np.zeros((4, 6), bool)
    >>> mask[:, 4:] = True
    >>> resized(mask, (2, 3)).tolist()
    [[False, False, True], [False, False, True]]

    Args:
        mask: (H, W) bool.
        size: (rows, columns) in px, smaller or larger.
        keep: a mask too thin to be half of any pixel becomes all the pixels that it touches; else
            nothing is left of it.
    Returns:
        (rows, columns) bool.
    """
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    found = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)) > 127
    if keep and not found.any():
        rows, columns = np.nonzero(mask)
        found[rows * size[0] // mask.shape[0], columns * size[1] // mask.shape[1]] = True
    return found


def shares(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return how much of each pixel of another size a mask covers, to paint it with soft edges.

    >>> shares(np.array([[True, True, True, False]]), (1, 2)).round(1).tolist()
    [[1.0, 0.5]]

    Args:
        mask: (H, W) bool.
        size: (rows, columns) in px.
    Returns:
        (rows, columns) float32 in [0, 1], in steps of 1 / 255.
    """
    if mask.shape == size:
        return mask.astype(np.float32)
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BOX), np.float32) / 255


def reduced(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture at a smaller size, each pixel the mean of those that it covers.

    >>> reduced(np.array([[[0, 0, 0], [200, 100, 50]]], np.uint8), (1, 1)).tolist()
    [[[100, 50, 25]]]

    Args:
        rgb: (H, W, 3) uint8.
        size: (rows, columns) in px.
    Returns:
        (rows, columns, 3) uint8; `rgb` itself where it has that size.
    """
    if rgb.shape[:2] == size:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BOX))
