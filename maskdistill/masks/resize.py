"""Masks at another size, and the size at which a large picture is worked on."""

from __future__ import annotations

import numpy as np
from PIL import Image


def within(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(rows, columns) in px of a picture of `size` reduced in proportion, its longer side to at most `max_side`."""
    scale = max(size) / max_side
    return (max(1, round(size[0] / scale)), max(1, round(size[1] / scale))) if scale > 1 else size


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) bool at another size (rows, columns): True where half of what is averaged or more is."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)) > 127
