"""Targets: masks and cluster ids of a picture as Mask R-CNN trains on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maskdistill.masks.boxes import boxes_from_masks


def targets(masks: np.ndarray, clusters: np.ndarray) -> dict[str, Tensor]:
    """Return torchvision's target of one picture; it may hold no object.

    Args:
        masks: (n, H, W) bool; empty ones are left out, as an augmentation may push an object off
            the picture.
        clusters: (n,) int64, 0 .. k-1.
    Returns:
        boxes (n, 4) float32 half-open, labels (n,) int64 1 + cluster, masks (n, H, W) uint8.
    Raises:
        ValueError: masks and clusters of unlike length.

    >>> masks = np.zeros((2, 3, 4), bool)
    >>> masks[0, 1, 1:3] = True
    >>> found = targets(masks, np.array([5, 6]))
    >>> found["boxes"].tolist(), found["labels"].tolist()  # the empty mask is left out
    ([[1.0, 1.0, 3.0, 2.0]], [6])
    """
    if len(masks) != len(clusters):
        raise ValueError(
            f"masks and clusters must have one length, got {len(masks)} and {len(clusters)}"
        )
    kept = masks.any(axis=(1, 2))
    masks, clusters = masks[kept], np.asarray(clusters, np.int64)[kept]
    return {
        "boxes": torch.from_numpy(boxes_from_masks(masks)),
        "labels": torch.from_numpy(clusters + 1),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
    }
