"""Masks joined by overlap, pixel by pixel, from the description of the rule."""

import numpy as np


def iou(one, other):
    inside = both = 0
    for pixel in np.ndindex(one.shape):
        inside += bool(one[pixel] or other[pixel])
        both += bool(one[pixel] and other[pixel])
    return both / inside if inside else 0.0


def joined(masks, overlap):
    """Groups of positions; `masks` (n, H, W) bool, the best first."""
    groups = []
    for number, mask in enumerate(masks):
        best, most = None, 0.0
        for group in groups:
            value = iou(masks[group[0]], mask)
            if value >= overlap and value > most:
                best, most = group, value
        if best is None:
            groups.append([number])
        else:
            best.append(number)
    return groups
