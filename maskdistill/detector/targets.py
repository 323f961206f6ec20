"""Masks and cluster ids to what Mask R-CNN trains on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maskdistill.masks.boxes import boxes_from_masks


def targets(masks: np.ndarray, clusters: np.ndarray) -> dict[str, Tensor]:
    """Torchvision's target of one picture; it may hold no object.

    Args:
        masks: (n, H, W) bool; empty ones are left out, as an augmentation may push an object off the picture.
        clusters: (n,) int64, 0 .. k-1.
    Returns:
        boxes (n, 4) float32 half-open, labels (n,) int64 1 + cluster, masks (n, H, W) uint8.
    Raises:
        ValueError: masks and clusters of unlike length.
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
