"""Boxes: half-open pixel edges xyxy, width is x2 - x1."""

from __future__ import annotations

import numpy as np


def boxes_from_masks(masks: np.ndarray) -> np.ndarray:
    """The tight box of each of the masks (n, H, W) bool: (n, 4) float32; zeros for an empty mask."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for row, mask in enumerate(masks):
        if found := slices(mask):
            down, across = found
            boxes[row] = across.start, down.start, across.stop, down.stop
    return boxes


def slices(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the tight box of a mask (H, W) bool, to cut it out; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def masks_from_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels of boxes (n, 4) as masks (n, H, W) bool, cut at the picture's edges.

    A pixel is in a box if its centre is, the left and upper edge included: each edge is rounded to the nearest pixel
    edge, halves down. A box that holds no centre is an empty mask. Boxes of masks give their rectangles back.

    Raises:
        ValueError: an edge that is not finite.
    """
    edges = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(edges).all():
        raise ValueError("boxes: wanted finite edges")
    masks = np.zeros((len(edges), *size), bool)
    first = (
        np.ceil(edges - 0.5).clip(0, 2**31).astype(np.int64)
    )  # the first pixel whose centre is not before an edge
    for mask, (x1, y1, x2, y2) in zip(masks, first.tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def iou(a: np.ndarray, b: np.ndarray, *, crowd: np.ndarray | None = None) -> np.ndarray:
    """(n, m) float64 intersection over union of boxes (n, 4) and (m, 4); 0 where both are empty.

    Args:
        crowd: (m,) bool; against a crowd of b: over the area of a's box.
    """
    a, b = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = areas(a)[:, None] + areas(b)[None] - shared
    if crowd is not None:
        union = np.where(np.asarray(crowd, bool), areas(a)[:, None], union)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def areas(boxes: np.ndarray) -> np.ndarray:
    """(n,) float64; 0 for a box turned inside out."""
    boxes = np.asarray(boxes, np.float64)
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(n, 4): x, y, width, height, as COCO writes boxes."""
    boxes = np.array(boxes_xyxy)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
