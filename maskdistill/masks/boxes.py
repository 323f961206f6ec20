"""Boxes: half-open pixel edges xyxy, width is x2 - x1.

In:       masks (n, H, W) bool, or boxes (n, 4)
Out:      boxes (n, 4), masks, areas, overlaps
"""

from __future__ import annotations

import numpy as np


def boxes_from_masks(masks: np.ndarray) -> np.ndarray:
    """Return the tight box of each mask.

    >>> masks = np.zeros((1, 4, 6), bool)
    >>> masks[0, 1:3, 2:5] = True
    >>> boxes_from_masks(masks).tolist()
    [[2.0, 1.0, 5.0, 3.0]]

    Args:
        masks: (n, H, W) bool.
    Returns:
        (n, 4) float32 half-open xyxy; zeros for an empty mask.
    """
    boxes = np.zeros((len(masks), 4), np.float32)
    for row, mask in enumerate(masks):
        if found := slices(mask):
            down, across = found
            boxes[row] = across.start, down.start, across.stop, down.stop
    return boxes


def slices(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Return rows and columns of the tight box of a mask (H, W) bool; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def masks_from_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of boxes as masks, cut at the picture's edges.

    A pixel is in a box if its centre is, the left and upper edge included: each edge is rounded to
    the nearest pixel edge, halves down. Boxes of masks give their rectangles back.

    >>> masks_from_boxes(np.array([[0.6, 0, 2, 1]]), (2, 3)).astype(int).tolist()
    [[[0, 1, 0], [0, 0, 0]]]

    Args:
        boxes: (n, 4) half-open xyxy, in px.
        size: (rows, columns) of the picture.
    Returns:
        (n, rows, columns) bool; empty for a box that holds no pixel's centre.
    Raises:
        ValueError: an edge that is not finite.
    """
    edges = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(edges).all():
        raise ValueError("boxes: wanted finite edges")
    masks = np.zeros((len(edges), *size), bool)
    # The first pixel whose centre is not before an edge.
    first = np.ceil(edges - 0.5).clip(0, 2**31).astype(np.int64)
    for mask, (x1, y1, x2, y2) in zip(masks, first.tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def iou(a: np.ndarray, b: np.ndarray, *, crowd: np.ndarray | None = None) -> np.ndarray:
    """Return the intersection over union of each box with each other one.

    >>> iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [4, 4, 5, 5]])).round(3).tolist()
    [[0.333, 0.0]]

    Args:
        a: (n, 4) half-open xyxy.
        b: (m, 4), likewise.
        crowd: (m,) bool; against a crowd of b: over the area of a's box.
    Returns:
        (n, m) float64; 0 where both are empty.
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
    """Return the areas of boxes (n, 4) in px, (n,) float64; 0 for a box turned inside out."""
    boxes = np.asarray(boxes, np.float64)
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return boxes (n, 4) as x, y, width, height, as COCO writes them.

    >>> xywh(np.array([[2, 1, 5, 3]])).tolist()
    [[2, 1, 3, 2]]
    """
    boxes = np.array(boxes_xyxy)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
