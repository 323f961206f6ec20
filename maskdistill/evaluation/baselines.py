"""Trivial answers: what a method must beat before it may be called one.

In:   the size of a picture
Out:  a mask (H, W) bool; as a record of the metrics of masks, or as a label map of one cluster
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks


def whole(size: tuple[int, int]) -> np.ndarray:
    """Return the whole picture as a mask (H, W) bool."""
    return np.ones(size, bool)


def centre(size: tuple[int, int]) -> np.ndarray:
    """Return the middle box of half the sides as a mask (H, W) bool.

    >>> centre((4, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    mask = np.zeros(size, bool)
    height, width = size
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return mask


def background(size: tuple[int, int]) -> np.ndarray:
    """Return nothing at all as a mask (H, W) bool."""
    return np.zeros(size, bool)


MASKS = {"whole": whole, "centre": centre}
LABEL_MAPS = {"background": background, **MASKS}


def records(mask: np.ndarray) -> list[dict[str, Any]]:
    """Return a mask (H, W) bool as the only record of its picture, of score 1."""
    (encoded,), (box,) = rle.encode(mask[None]), boxes_from_masks(mask[None])
    return [{"rle": encoded, "box": box, "score": 1.0}]
