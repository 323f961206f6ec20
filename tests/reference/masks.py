"""Boxes, areas and overlaps of masks, pixel by pixel."""

import numpy as np


def box(mask):
    """Half-open xyxy; zeros for an empty mask."""
    pixels = [(row, col) for row, col in np.ndindex(mask.shape) if mask[row, col]]
    if not pixels:
        return (0, 0, 0, 0)
    rows, columns = zip(*pixels, strict=True)
    return (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def iou(a, b):
    shared = sum(bool(a[index] and b[index]) for index in np.ndindex(a.shape))
    either = sum(bool(a[index] or b[index]) for index in np.ndindex(a.shape))
    return shared / either if either else 0.0


def box_mask(box_xyxy, size):
    mask = np.zeros(size, bool)
    x1, y1, x2, y2 = box_xyxy
    mask[y1:y2, x1:x2] = True
    return mask


def run_lengths(mask):
    """Column by column, the first of zeros."""
    counts, value = [0], False
    for pixel in mask.ravel(order="F"):
        if pixel == value:
            counts[-1] += 1
        else:
            counts.append(1)
            value = not value
    return counts


def covered(counts):
    """Count the pixels that COCO's compressed run lengths cover, sign by sign.

    5 bits each, the sixth says that more follow.
    """
    runs, place = [], 0
    while place < len(counts):
        value, shift = 0, 0
        while True:
            bits = ord(counts[place]) - 48
            value |= (bits & 31) << shift
            shift, place = shift + 5, place + 1
            if not bits & 32:
                break
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return sum(runs) if all(run >= 0 for run in runs) else -1


def box_pixels(box_xyxy, size):
    """The pixels whose centres lie in a box of any edges, its left and upper edge included."""
    x1, y1, x2, y2 = box_xyxy
    mask = np.zeros(size, bool)
    for row, col in np.ndindex(mask.shape):
        mask[row, col] = x1 <= col + 0.5 < x2 and y1 <= row + 0.5 < y2
    return mask


def averaged(mask, size):
    """Return (rows, columns) float64: means weighted by a triangle around each new pixel's centre.

    It reaches one new pixel to each side where a mask shrinks, one old pixel where it grows.
    """
    out = mask.astype(np.float64)
    for axis in (0, 1):
        old, new = out.shape[axis], size[axis]
        step = old / new
        weights = np.zeros((new, old))
        for target in range(new):
            for source in range(old):
                away = abs(source + 0.5 - (target + 0.5) * step) / max(step, 1.0)
                weights[target, source] = max(0.0, 1 - away)
            weights[target] /= weights[target].sum()
        out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis)), 0, axis)
    return out


def inner_edge(mask):
    """Return the pixels of a mask with one of the four neighbours in the picture but not in it."""
    edge = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and not mask[r, c]:
                edge[row, column] = True
    return edge
