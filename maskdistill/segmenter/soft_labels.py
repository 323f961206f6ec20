"""Soft labels: how much of each patch every class of a label map covers.

In:       a label map (H, W) uint8, the size that a ViT was shown of the picture, its patch
Out:      (rows, cols, classes) float32
"""

from __future__ import annotations

import numpy as np

from maskdistill.segmenter.losses import IGNORE


def shares(
    label_map: np.ndarray, scaled: tuple[int, int], *, n_classes: int, patch: int = 16
) -> np.ndarray:
    """Return the share of each patch's area that each class covers.

    Args:
        label_map: (H, W) uint8, 0 .. n_classes - 1, or 255: ignored, of no class.
        scaled: (height, width) px that the picture had for the ViT, before padding to patches.
        patch: px of them a side of a patch; the last row and column may reach over the picture.
    Returns:
        (rows, cols, n_classes) float32 in [0, 1]; the sum over classes is the share of the patch
        that is in the picture and not ignored, 0 where there is nothing to learn from. Areas are
        exact, a pixel may lie in several patches.
    Raises:
        ValueError: a class out of range.

    >>> label_map = np.array([[0, 1], [255, 1]], np.uint8)
    >>> shares(label_map, (2, 3), n_classes=2, patch=2).tolist()
    [[[0.375, 0.25], [0.0, 0.5]]]

    Twin: tests/reference/soft_labels.py.
    """
    present = np.unique(label_map)
    wrong = present[(present >= n_classes) & (present != IGNORE)]
    if len(wrong):
        raise ValueError(f"label_map: wanted 0..{n_classes - 1} or {IGNORE}, found {wrong[0]}")
    down, across = (
        overlaps(pixels, shown, patch)
        for pixels, shown in zip(label_map.shape, scaled, strict=True)
    )
    found = np.zeros((len(down), len(across), n_classes), np.float32)
    for label in present[present != IGNORE]:
        found[..., label] = down @ (label_map == label).astype(np.float32) @ across.T
    return found


def overlaps(pixels: int, shown: int, patch: int) -> np.ndarray:
    """Return how much of each patch of an axis each pixel covers, (patches, pixels) float32.

    >>> overlaps(2, 3, 2).tolist()
    [[0.75, 0.25], [0.0, 0.5]]

    Args:
        pixels: of the picture's axis. shown: px that they became for the ViT.
        patch: px of these.
    """
    edges = np.arange(pixels + 1) * (shown / pixels)
    firsts = np.arange(-(-shown // patch))[:, None] * patch
    low, high = np.maximum(edges[:-1], firsts), np.minimum(edges[1:], firsts + patch)
    return (np.maximum(high - low, 0) / patch).astype(np.float32)
