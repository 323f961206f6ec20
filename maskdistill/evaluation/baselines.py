"""Trivial proposals: what a method must beat before it may be called one."""

from __future__ import annotations

import numpy as np


def whole(size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the whole picture."""
    return np.ones(size, bool)


def centre(size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the middle box of half the sides."""
    mask = np.zeros(size, bool)
    height, width = size
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return mask
